-- What a login is checked against.
--
--   :email_key  TEXT  the folded email
--
-- Returns the user's id and password hash; no row when nobody has this address.

SELECT id, password_hash
  FROM users
 WHERE email_key = :email_key;
