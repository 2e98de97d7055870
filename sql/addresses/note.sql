-- Note from where somebody has just logged in.
--
--   :email_key  TEXT         the folded email
--   :address    TEXT | NULL  the client's address; NULL when it is not known, and nothing is noted
--   :now        TEXT         the time of the request

INSERT INTO login_addresses (user_id, address, used_at)
SELECT id, :address, :now
  FROM users
 WHERE email_key = :email_key
   AND :address IS NOT NULL
    ON CONFLICT (user_id, address) DO UPDATE
   SET used_at = excluded.used_at;
