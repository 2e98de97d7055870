-- The mail that is due, the one that has waited longest first.
--
--   :now  TEXT  the time
--
-- Returns one row: the mail's id, whose it is, since when it waits, and how often it was tried; no row when none is due.

SELECT id,
       user_id,
       created_at,
       attempts
  FROM outbox
 WHERE next_attempt_at <= :now
 ORDER BY next_attempt_at
 LIMIT 1;
