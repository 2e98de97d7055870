-- End the session that asks: log out.
--
--   :token_hash  TEXT  SHA-256 of the token that was sent

DELETE FROM sessions
 WHERE token_hash = :token_hash;
