-- Forget attempts that no longer count, some at a time.
--
--   :old_ms  INTEGER  what was last counted before this time, in milliseconds since 1970, counts no longer
--   :most    INTEGER  how many rows to delete at most

DELETE FROM attempts
 WHERE subject IN (
           SELECT subject
             FROM attempts
            WHERE counted_at_ms < :old_ms
            ORDER BY counted_at_ms
            LIMIT :most);
