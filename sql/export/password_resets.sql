-- When the caller asked for a new password, for the export: 1,000 a page. Never a token's hash.
--
--   :me     INTEGER  the caller's user id
--   :after  TEXT     only requests after this time; '' for the first page
--
-- Returns one row: entries (a JSON array) and next (after which the next page begins; NULL on the last page).

WITH page AS (
    SELECT created_at AS key,
           json_object(
               'createdAt', created_at
           ) AS entry
      FROM (SELECT DISTINCT created_at
              FROM password_resets INDEXED BY password_resets_user_id_idx
             WHERE user_id = :me
               AND created_at > :after)
     ORDER BY created_at
     LIMIT 1000
)
-- json() again: text that crossed a CTE is no longer known to be JSON.
SELECT json_group_array(json(entry))        AS entries,
       iif(count(*) = 1000, max(key), NULL) AS next
  FROM page;
