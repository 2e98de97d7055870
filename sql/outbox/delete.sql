-- Delete a mail that was sent or given up.
--
--   :id  INTEGER  the mail's id

DELETE FROM outbox
 WHERE id = :id;
