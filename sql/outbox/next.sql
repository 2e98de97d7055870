-- Whether a mail is due.
--
--   :now  TEXT  the time
--
-- Returns one row, with the mail's id; no row when none is due.

SELECT id
  FROM outbox
 WHERE next_attempt_at <= :now
 LIMIT 1;
