-- Refuse what was decided on a name, an email and a password that are no longer the user's.
--
--   :user_id        INTEGER  the user who leaves
--   :username_key   TEXT     the folded username
--   :email_key      TEXT     the folded email
--   :password_hash  TEXT     the hash that the password was verified against
--
-- Returns a verdict, or no row while they are.

SELECT 'user: has changed; try again' AS verdict
 WHERE NOT EXISTS (SELECT 1
                     FROM users
                    WHERE id = :user_id
                      AND username_key = :username_key
                      AND email_key = :email_key
                      AND password_hash = :password_hash);
