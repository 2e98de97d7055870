-- Refuse what was tried too often of late.
--
--   :what    TEXT     what is tried, as the answer names it: login, registration, reset, user, articles, comments
--   :limits  TEXT     a JSON array of objects, of which this file reads `subject`: who is counted
--   :now_ms  INTEGER  the time of the request in milliseconds since 1970
--
-- Returns one verdict, which says for how many seconds to wait; NULL when nobody has to.

WITH
longest_wait AS (
    SELECT (max(waits_until_ms) - :now_ms + 999) / 1000 AS seconds
      FROM attempts
     WHERE subject IN (SELECT value ->> 'subject' FROM json_each(:limits))
       AND waits_until_ms > :now_ms
       -- The longest wait, and a minute for requests that read the clock first and are checked later. A longer wait
       -- means that the clock has jumped back; it does not count.
       AND waits_until_ms <= :now_ms + 1024000 + 60000
)
SELECT :what || ': too many attempts; try again in ' || seconds || iif(seconds = 1, ' second', ' seconds') AS verdict
  FROM longest_wait;
