-- What was counted of the caller, for the export: 1,000 a page.
--
--   :subjects  TEXT  a JSON array: under which subjects the caller's attempts are counted, as in
--                    sql/attempts/forget.sql
--   :after     TEXT  only subjects behind this one; '' for the first page
--
-- Returns one row: entries (a JSON array) and next (after which the next page begins; NULL on the last page).

WITH page AS (
    SELECT attempts.subject AS key,
           json_object(
               'subject',      attempts.subject,
               'level',        attempts.level,
               'countedAtMs',  attempts.counted_at_ms,
               'waitsUntilMs', attempts.waits_until_ms
           ) AS entry
      FROM json_each(:subjects) AS counted
     CROSS JOIN attempts ON attempts.subject >= counted.value
                        AND attempts.subject < counted.value || '!'
     -- The + leaves the index to the ranges above.
     WHERE +attempts.subject > :after
     ORDER BY attempts.subject
     LIMIT 1000
)
-- json() again: text that crossed a CTE is no longer known to be JSON.
SELECT json_group_array(json(entry))        AS entries,
       iif(count(*) = 1000, max(key), NULL) AS next
  FROM page;
