-- Claim the mail that has been due longest: until its lease ends, no other sender takes it. Should this one crash, the
-- mail is due again then.
--
--   :now          TEXT  the time
--   :lease_until  TEXT  when the lease ends
--
-- Returns the mail's id, and its user's as user_id, parameters of the files after it; no row when none is due.

UPDATE outbox
   SET attempts        = attempts + 1,
       next_attempt_at = :lease_until
 WHERE id = (SELECT id
               FROM outbox
              WHERE next_attempt_at <= :now
              ORDER BY next_attempt_at
              LIMIT 1)
RETURNING id, user_id;
