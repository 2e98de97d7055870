-- A good login: forget the account's wrong ones, and that this one was counted for the address.
--
--   :account_subject  TEXT         who was counted for the account
--   :address_subject  TEXT | NULL  who was counted for the client's address; NULL when nobody was

DELETE FROM attempts
 WHERE subject = :account_subject;

UPDATE attempts
   SET level = max(0, level - 1)
 WHERE subject = :address_subject;
