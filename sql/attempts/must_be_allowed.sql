-- Refuse what was tried too often of late.
--
--   :what    TEXT     what is tried, as the answer names it: login, registration, reset, user, articles, comments
--   :limits  TEXT     a JSON array of objects, of which this file reads `subject`: who is counted
--   :now_ms  INTEGER  the time of the request in milliseconds since 1970
--
-- Returns one verdict, which says for how many seconds to wait; NULL when nobody has to.

SELECT :what || ': too many; try again in ' || ((max(waits_until_ms) - :now_ms + 999) / 1000) || ' s' AS verdict
  FROM attempts
 WHERE subject IN (SELECT value ->> 'subject' FROM json_each(:limits))
   AND waits_until_ms > :now_ms
   -- The longest wait, and a minute for who looked at the clock first and is asked later. What is longer than that
   -- comes of a clock that has jumped back, and nobody is to suffer from it.
   AND waits_until_ms <= :now_ms + 1024000 + 60000;
