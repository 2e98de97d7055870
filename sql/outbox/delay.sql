-- Note that a mail is about to be sent: should that fail, or the program end, it is due again later.
--
--   :id               INTEGER  the mail's id
--   :next_attempt_at  TEXT     when

UPDATE outbox
   SET attempts        = attempts + 1,
       next_attempt_at = :next_attempt_at
 WHERE id = :id;
