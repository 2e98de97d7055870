-- Count an attempt, and say how long the next one has to wait. sql/attempts/must_be_allowed.sql goes before it.
--
--   :limits  TEXT     a JSON array of {"subject": who is counted, "burst": how many attempts are free,
--                     "recovery_ms": after how many milliseconds there is one more}
--   :now_ms  INTEGER  the time of the request in milliseconds since 1970

WITH
counted AS (
    SELECT limits.value ->> 'subject' AS subject,
           limits.value ->> 'burst'   AS burst,
           1 + max(0, coalesce(attempts.level - max(0, :now_ms - attempts.counted_at_ms)
                                              / (limits.value ->> 'recovery_ms'), 0)) AS level
      FROM json_each(:limits) AS limits
      LEFT JOIN attempts ON attempts.subject = limits.value ->> 'subject'
)
INSERT INTO attempts (subject, level, counted_at_ms, waits_until_ms)
SELECT subject,
       level,
       :now_ms,
       -- Once the free ones are used up: a second, then 2, 4 … 1,024.
       iif(round(level) < burst, 0, :now_ms + (1000 << min(CAST(round(level) - burst AS INTEGER), 10)))
  FROM counted
 WHERE true -- else SQLite takes the next ON for that of a join
    ON CONFLICT (subject) DO UPDATE
   SET level          = excluded.level,
       counted_at_ms  = excluded.counted_at_ms,
       waits_until_ms = excluded.waits_until_ms;
