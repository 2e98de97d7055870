-- Whose name this is.
--
--   :username_key  TEXT  the folded username
--
-- Returns the user's id as user_id, a parameter of the files after it; no row when nobody has this name.

SELECT id AS user_id
  FROM users
 WHERE username_key = :username_key
   AND role <> 'deleted';
