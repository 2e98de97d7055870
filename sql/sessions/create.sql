-- Open a session for the user who has just proved to know the password.
--
--   :email_key      TEXT         the folded email
--   :password_hash  TEXT         the hash that the password was verified against
--   :token_hash     TEXT         SHA-256 of the new token
--   :user_agent     TEXT | NULL  what the client says that it is
--   :now            TEXT         the time of the request
--
-- Opens none when the password was changed since it was verified, or the account suspended: whoever changes a
-- password must not find an older login slipping in behind it.

INSERT INTO sessions (user_id, token_hash, user_agent, created_at, last_used_at)
SELECT id, :token_hash, :user_agent, :now, :now
  FROM users
 WHERE email_key = :email_key
   AND password_hash = :password_hash
   AND suspended_at IS NULL;
