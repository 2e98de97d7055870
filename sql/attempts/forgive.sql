-- A good login: forget the account's wrong ones, and that this one was counted for the client's address.
--
--   :account_subject  TEXT  who was counted for the account
--   :limits           TEXT  a JSON array of objects, of which this file reads `subject`: who was counted

DELETE FROM attempts
 WHERE subject = :account_subject;

UPDATE attempts
   SET level = max(0, level - 1)
 WHERE subject IN (SELECT value ->> 'subject' FROM json_each(:limits));
