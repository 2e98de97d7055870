-- What a login is checked against.
--
--   :email_key  TEXT         the folded email
--   :address    TEXT | NULL  the client's address; NULL when it is not known
--
-- Returns the user's id, the password's hash, whether the account is suspended, and whether the user has logged in
-- from there before (1 or 0 each); no row when nobody has this email.

SELECT id,
       password_hash,
       suspended_at IS NOT NULL AS is_suspended,
       EXISTS (
           SELECT 1
             FROM login_addresses
            WHERE user_id = users.id
              AND address = :address
       ) AS has_logged_in_from_there
  FROM users
 WHERE email_key = :email_key
   AND role <> 'deleted';
