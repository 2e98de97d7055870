-- Refuse what was decided on a name and a password that are no longer the caller's.
--
--   :me             INTEGER  the caller's user id
--   :username_key   TEXT     the folded username
--   :password_hash  TEXT     the hash that the password was verified against
--
-- Returns a verdict, or no row while both are so.

SELECT 'user: has changed; try again' AS verdict
 WHERE NOT EXISTS (SELECT 1
                     FROM users
                    WHERE id = :me
                      AND username_key = :username_key
                      AND password_hash = :password_hash);
