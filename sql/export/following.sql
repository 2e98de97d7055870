-- Whom the caller follows, for the export: 1,000 a page.
--
--   :me     INTEGER  the caller's user id
--   :after  TEXT     only users above this id; '' for the first page
--
-- Returns one row: entries (a JSON array) and next (after which the next page begins; NULL on the last page).

WITH page AS (
    SELECT follows.followed_id AS key,
           json_object(
               'username',  followed.username,
               'createdAt', follows.created_at
           ) AS entry
      FROM visible_follows AS follows
      JOIN users AS followed ON followed.id = follows.followed_id
     WHERE follows.follower_id = :me
       AND follows.followed_id > CAST(:after AS INTEGER)
     ORDER BY follows.followed_id
     LIMIT 1000
)
-- json() again: text that crossed a CTE is no longer known to be JSON.
SELECT json_group_array(json(entry))        AS entries,
       iif(count(*) = 1000, max(key), NULL) AS next
  FROM page;
