-- The mail that is due, the longest one first.
--
--   :now  TEXT  the time
--
-- Returns one row: the mail's id, since when it waits, how often it was tried, and to whom it goes; no row when
-- none is due.

SELECT outbox.id,
       outbox.created_at,
       outbox.attempts,
       users.id AS user_id,
       users.username,
       users.email
  FROM outbox
 CROSS JOIN users ON users.id = outbox.user_id
 WHERE outbox.next_attempt_at <= :now
 ORDER BY outbox.next_attempt_at
 LIMIT 1;
