-- Note that a session is in use.
--
--   :token_hash  TEXT  SHA-256 of the token
--   :now         TEXT  the time of the request

UPDATE sessions
   SET last_used_at = :now
 WHERE token_hash = :token_hash;
