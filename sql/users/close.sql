-- Close an account at once, whatever it has written. What is left of it is hidden, and removed by sql/leftovers/.
--
--   :user_id            INTEGER  whose account
--   :username_key_hash  TEXT     SHA-256 of the folded username, which nobody can take again
--   :content            TEXT     'delete' articles and comments, or 'keep' them as by "deleted user"
--   :now                TEXT     the time of the request

INSERT INTO reserved_usernames (username_key_hash)
VALUES (:username_key_hash)
    ON CONFLICT DO NOTHING;

-- The user who stands for all whose content is kept is made for the first one.
INSERT INTO users (username, username_key, email, email_key, password_hash, role, created_at, updated_at)
SELECT 'deleted user',
       -- The name is reserved. Who had it before keeps it: then the key has capitals, which no folded name has.
       iif(EXISTS (SELECT 1 FROM users WHERE username_key = 'deleted user'), 'DELETED USER', 'deleted user'),
       -- No address has no @, and no password has no hash.
       'deleted user', 'deleted user', '', 'deleted', :now, :now
 WHERE :content = 'keep'
   AND NOT EXISTS (SELECT 1 FROM visible_users WHERE role = 'deleted');

INSERT INTO closed_accounts (user_id)
VALUES (:user_id);

INSERT INTO hidden_authors (user_id)
SELECT :user_id
 WHERE :content = 'delete';

DELETE FROM outbox
 WHERE user_id = :user_id;

-- Nothing personal stays, and nothing by which the account could be found or used.
UPDATE users
   SET username      = 'deleted user',
       username_key  = 'CLOSED ' || id,
       email         = 'CLOSED ' || id,
       email_key     = 'CLOSED ' || id,
       password_hash = '',
       role          = 'deleted',
       suspended_at  = NULL,
       bio           = NULL,
       image         = NULL,
       updated_at    = :now
 WHERE id = :user_id;
