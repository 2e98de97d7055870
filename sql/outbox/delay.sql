-- Try a mail again later, unless its lease has ended and another sender has claimed it since.
--
--   :id               INTEGER  the mail's id
--   :attempts         INTEGER  how often it had been tried when it was claimed, that time included
--   :next_attempt_at  TEXT     when

UPDATE outbox
   SET next_attempt_at = :next_attempt_at
 WHERE id = :id
   AND attempts = :attempts;
