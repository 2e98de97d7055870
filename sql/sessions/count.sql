-- How many sessions are open.
--
--   :expired  TEXT  a session last used at or before this time is over
--
-- Returns one number. Walks the part of sessions_last_used_at_idx that it counts.

SELECT count(*) AS sessions
  FROM visible_sessions
 WHERE last_used_at > :expired;
