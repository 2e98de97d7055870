-- Have a password reset mailed to whoever has an email; nothing when nobody has it, or when one waits already.
--
--   :email_key  TEXT  the folded email
--   :now        TEXT  the time of the request

INSERT INTO outbox (user_id, created_at, next_attempt_at)
SELECT id, :now, :now
  FROM users
 WHERE email_key = :email_key
   AND role <> 'deleted'
   AND suspended_at IS NULL
    ON CONFLICT (user_id) DO NOTHING;
