-- Refuse a username or an email that somebody else has, and a username that is reserved.
--
--   :username_key       TEXT | NULL     the folded username; NULL when it is not to be set
--   :username_key_hash  TEXT | NULL     its SHA-256; NULL likewise
--   :email_key          TEXT | NULL     the folded email; NULL when it is not to be set
--   :me                 INTEGER | NULL  the caller's user id; NULL when registering
--
-- Returns a verdict for each of the two that is taken; no row when both are free.

SELECT 'username: has already been taken' AS verdict
  FROM users
 WHERE username_key = :username_key
   AND id IS NOT :me
 UNION
SELECT 'username: has already been taken'
  FROM reserved_usernames
 WHERE username_key_hash = :username_key_hash
   -- Whoever had it before it was reserved keeps it.
   AND NOT EXISTS (SELECT 1 FROM users WHERE id = :me AND username_key = :username_key)
 UNION ALL
SELECT 'email: has already been taken'
  FROM users
 WHERE email_key = :email_key
   AND id IS NOT :me;
