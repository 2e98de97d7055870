-- Who may set a new password with a token.
--
--   :token_hash  TEXT  SHA-256 of the token
--   :expired     TEXT  a token made at or before this time is no good
--   :now         TEXT  the time of the request; one made after it is no good either: the clock was ahead
--
-- Returns the user's id and folded email; no row when the token is not valid.

SELECT users.id,
       users.email_key
  FROM password_resets
  JOIN visible_users AS users ON users.id = password_resets.user_id
 WHERE password_resets.token_hash = :token_hash
   AND password_resets.created_at > :expired
   AND password_resets.created_at <= :now;
