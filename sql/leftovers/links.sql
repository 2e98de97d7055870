-- Delete some of what belongs to a closed account, its texts aside.
--
--   :user_id  INTEGER  whose account
--   :most     INTEGER  how many rows of each kind at most

DELETE FROM favorites
 WHERE user_id = :user_id
   AND article_id IN (SELECT article_id FROM favorites WHERE user_id = :user_id LIMIT :most);

DELETE FROM follows
 WHERE follower_id = :user_id
   AND followed_id IN (SELECT followed_id FROM follows WHERE follower_id = :user_id LIMIT :most);

DELETE FROM follows
 WHERE followed_id = :user_id
   AND follower_id IN (SELECT follower_id FROM follows WHERE followed_id = :user_id LIMIT :most);

DELETE FROM sessions
 WHERE id IN (SELECT id FROM sessions WHERE user_id = :user_id LIMIT :most);

DELETE FROM login_addresses
 WHERE rowid IN (SELECT rowid FROM login_addresses WHERE user_id = :user_id LIMIT :most);

DELETE FROM password_resets
 WHERE token_hash IN (SELECT token_hash FROM password_resets WHERE user_id = :user_id LIMIT :most);
