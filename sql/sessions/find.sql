-- Whose token this is.
--
--   :token_hash    TEXT  SHA-256 of the token
--   :expired       TEXT  a session last used at or before this time is over
--   :touch_before  TEXT  a session last used before this time is due for sql/sessions/touch.sql
--
-- Returns the user's id, when the session was last used, and whether it is due; no row when the
-- token is not valid.

SELECT user_id,
       last_used_at,
       last_used_at < :touch_before AS due
  FROM sessions
 WHERE token_hash = :token_hash
   AND last_used_at > :expired;
