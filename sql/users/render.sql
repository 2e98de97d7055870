-- The account that a token belongs to, as its owner sees it.
--
--   :token_hash  TEXT  SHA-256 of the token
--   :token       TEXT  the token itself, which the database does not know
--
-- Returns the response body as JSON; no row when the token has no session.

SELECT json_object('user', json_object(
           'email',    users.email,
           'token',    :token,
           'username', users.username,
           'bio',      users.bio,
           'image',    users.image)) AS response
  FROM visible_sessions AS sessions
  JOIN users ON users.id = sessions.user_id
 WHERE sessions.token_hash = :token_hash;
