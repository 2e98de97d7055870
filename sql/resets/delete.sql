-- Take back every token that would set a user's password, used or not.
--
--   :me  INTEGER  the user's id

DELETE FROM password_resets
 WHERE user_id = :me;
