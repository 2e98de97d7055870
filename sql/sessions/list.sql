-- The caller's open sessions, newest first; the first 1,000. Never a token, nor its hash.
--
--   :me          INTEGER  the caller's user id
--   :token_hash  TEXT     SHA-256 of the token that was sent
--   :expired     TEXT     a session last used at or before this time is over
--
-- Returns the response body as JSON.

SELECT json_object('sessions', json_group_array(json_object(
           'id',         id,
           'createdAt',  created_at,
           'lastUsedAt', last_used_at,
           'userAgent',  user_agent,
           -- SQLite has no booleans; JSON has.
           'current',    json(iif(token_hash = :token_hash, 'true', 'false'))))) AS response
  FROM (SELECT id, created_at, last_used_at, user_agent, token_hash
          FROM sessions
         WHERE user_id = :me
           AND last_used_at > :expired
         ORDER BY id DESC
         LIMIT 1000);
