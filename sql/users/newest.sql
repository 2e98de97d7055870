-- Whether anybody has an account, and who opened the last one.
--
-- Returns one row: the newest user's id, NULL while there is nobody.

SELECT max(id) AS id
  FROM users;
