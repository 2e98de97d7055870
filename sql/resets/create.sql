-- Make a token by which a user sets a new password; none when the user has left.
--
--   :user_id     INTEGER  who
--   :token_hash  TEXT     SHA-256 of the token
--   :now         TEXT     the time, from which the token's hour counts

INSERT INTO password_resets (token_hash, user_id, created_at)
SELECT :token_hash, id, :now
  FROM users
 WHERE id = :user_id;
