-- Make what a user has written that of "deleted user", who stands for all who have left and is made for the first one.
--
--   :user_id  INTEGER  the user who leaves
--   :now      TEXT     the time of the request

INSERT INTO users (username, username_key, email, email_key, password_hash, role, created_at, updated_at)
SELECT 'deleted user',
       -- The name is reserved. Who had it before keeps it: then the key has capitals, which no folded name has.
       iif(EXISTS (SELECT 1 FROM users WHERE username_key = 'deleted user'), 'DELETED USER', 'deleted user'),
       -- No address has no @, and no password has no hash.
       'deleted user', 'deleted user', '', 'deleted', :now, :now
 WHERE NOT EXISTS (SELECT 1 FROM users WHERE role = 'deleted');

UPDATE articles
   SET author_id = (SELECT id FROM users WHERE role = 'deleted')
 WHERE author_id = :user_id;

UPDATE comments
   SET author_id = (SELECT id FROM users WHERE role = 'deleted')
 WHERE author_id = :user_id;
