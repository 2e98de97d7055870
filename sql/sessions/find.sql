-- Whose token this is.
--
--   :token_hash    TEXT  SHA-256 of the token
--   :expired       TEXT  a session last used at or before this time is over
--   :touch_before  TEXT  a session last used before this time is due for sql/sessions/touch.sql
--   :now           TEXT  the time of the request; one last used after it is due, too: the clock was ahead
--
-- Returns the user's id, when the session was last used, and whether it is due; no row when the
-- token is not valid.

SELECT user_id,
       last_used_at,
       last_used_at NOT BETWEEN :touch_before AND :now AS due
  FROM visible_sessions
 WHERE token_hash = :token_hash
   AND last_used_at > :expired;
