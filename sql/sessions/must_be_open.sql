-- Refuse what comes from a session that has ended since the request began.
--
--   :token_hash  TEXT  SHA-256 of the token that was sent
--
-- Returns a verdict, or no row while the session is open.

SELECT 'token: is invalid' AS verdict
 WHERE NOT EXISTS (SELECT 1 FROM visible_sessions WHERE token_hash = :token_hash);
