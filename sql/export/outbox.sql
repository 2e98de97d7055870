-- The mails that wait to be sent to the caller, for the export: 1,000 a page.
--
--   :me     INTEGER  the caller's user id
--   :after  TEXT     only mails above this id; '' for the first page
--
-- Returns one row: entries (a JSON array) and next (after which the next page begins; NULL on the last page).

WITH page AS (
    SELECT id AS key,
           json_object(
               'id',            id,
               'createdAt',     created_at,
               'nextAttemptAt', next_attempt_at,
               'attempts',      attempts
           ) AS entry
      FROM outbox
     WHERE user_id = :me
       AND id > CAST(:after AS INTEGER)
     ORDER BY id
     LIMIT 1000
)
-- json() again: text that crossed a CTE is no longer known to be JSON.
SELECT json_group_array(json(entry))        AS entries,
       iif(count(*) = 1000, max(key), NULL) AS next
  FROM page;
