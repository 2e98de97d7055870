-- Delete sessions that are over, some at a time.
--
--   :expired  TEXT     a session last used at or before this time is over
--   :most     INTEGER  how many rows to delete at most

DELETE FROM sessions
 WHERE id IN (
           SELECT id
             FROM sessions
            WHERE last_used_at <= :expired
            ORDER BY last_used_at
            LIMIT :most);
