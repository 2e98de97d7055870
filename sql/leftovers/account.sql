-- Delete a closed account of which nothing else is left.
--
--   :user_id  INTEGER  whose account

DELETE FROM users
 WHERE id = (SELECT user_id FROM closed_accounts WHERE user_id = :user_id)
   AND NOT EXISTS (SELECT 1 FROM favorites       WHERE user_id     = :user_id)
   AND NOT EXISTS (SELECT 1 FROM follows         WHERE follower_id = :user_id)
   AND NOT EXISTS (SELECT 1 FROM follows         WHERE followed_id = :user_id)
   AND NOT EXISTS (SELECT 1 FROM sessions        WHERE user_id     = :user_id)
   AND NOT EXISTS (SELECT 1 FROM login_addresses WHERE user_id     = :user_id)
   AND NOT EXISTS (SELECT 1 FROM password_resets WHERE user_id     = :user_id)
   AND NOT EXISTS (SELECT 1 FROM articles        WHERE author_id   = :user_id)
   AND NOT EXISTS (SELECT 1 FROM comments        WHERE author_id   = :user_id);
