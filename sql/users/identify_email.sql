-- Whose email this is.
--
--   :email_key  TEXT  the folded email
--
-- Returns one row: the user's id as user_id, a parameter of the files after it; NULL when nobody has this email.

SELECT (SELECT id
          FROM users
         WHERE email_key = :email_key
           AND role <> 'deleted') AS user_id;
