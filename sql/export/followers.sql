-- Since when the caller has followers, for the export: 1,000 a page. Who they are is theirs to tell.
--
--   :me     INTEGER  the caller's user id
--   :after  TEXT     only followers above this id; '' for the first page
--
-- Returns one row: entries (a JSON array) and next (after which the next page begins; NULL on the last page).

WITH page AS (
    SELECT follower_id AS key,
           json_object(
               'createdAt', created_at
           ) AS entry
      FROM follows
     WHERE followed_id = :me
       AND follower_id > CAST(:after AS INTEGER)
       AND follower_id NOT IN (SELECT user_id FROM closed_accounts)
     ORDER BY follower_id
     LIMIT 1000
)
-- json() again: text that crossed a CTE is no longer known to be JSON.
SELECT json_group_array(json(entry))        AS entries,
       iif(count(*) = 1000, max(key), NULL) AS next
  FROM page;
