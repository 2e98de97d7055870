-- The caller's sessions, for the export: 1,000 a page. Never a token's hash.
--
--   :me     INTEGER  the caller's user id
--   :after  TEXT     only sessions above this id; '' for the first page
--
-- Returns one row: entries (a JSON array) and next (after which the next page begins; NULL on the last page).

WITH page AS (
    SELECT id AS key,
           json_object(
               'id',         id,
               'userAgent',  user_agent,
               'createdAt',  created_at,
               'lastUsedAt', last_used_at
           ) AS entry
      FROM sessions
     WHERE user_id = :me
       AND id > CAST(:after AS INTEGER)
     ORDER BY id
     LIMIT 1000
)
-- json() again: text that crossed a CTE is no longer known to be JSON.
SELECT json_group_array(json(entry))        AS entries,
       iif(count(*) = 1000, max(key), NULL) AS next
  FROM page;
