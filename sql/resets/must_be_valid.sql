-- Refuse a token that somebody has used since it was found valid: of two requests at once, one wins.
--
--   :token_hash  TEXT  SHA-256 of the token
--
-- Returns a verdict, or no row while the token is there.

SELECT 'token: is wrong or too old' AS verdict
 WHERE NOT EXISTS (SELECT 1
                     FROM password_resets
                     JOIN visible_users AS users ON users.id = password_resets.user_id
                    WHERE password_resets.token_hash = :token_hash);
