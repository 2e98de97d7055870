-- What the caller's password is checked against.
--
--   :me  INTEGER  the caller's user id
--
-- Returns the folded username and email, and the password's hash; no row when the account is gone.

SELECT username_key,
       email_key,
       password_hash
  FROM visible_users
 WHERE id = :me;
