-- Follow a user no longer. Doing it twice changes nothing.
--
--   :username_key  TEXT     the folded username of whom not to follow
--   :me            INTEGER  the caller's user id

DELETE FROM follows
 WHERE follower_id = :me
   AND followed_id = (SELECT id FROM users WHERE username_key = :username_key);
