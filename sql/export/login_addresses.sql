-- The addresses from which the caller has logged in, for the export: 1,000 a page.
--
--   :me     INTEGER  the caller's user id
--   :after  TEXT     only addresses behind this one; '' for the first page
--
-- Returns one row: entries (a JSON array) and next (after which the next page begins; NULL on the last page).

WITH page AS (
    SELECT address AS key,
           json_object(
               'address', address,
               'usedAt',  used_at
           ) AS entry
      FROM login_addresses
     WHERE user_id = :me
       AND address > :after
     ORDER BY address
     LIMIT 1000
)
-- json() again: text that crossed a CTE is no longer known to be JSON.
SELECT json_group_array(json(entry))        AS entries,
       iif(count(*) = 1000, max(key), NULL) AS next
  FROM page;
