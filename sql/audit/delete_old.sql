-- Delete what the audit log holds of before its horizon, some at a time. sql/audit/move_horizon.sql goes before it.
--
--   :horizon  TEXT     what was noted before this time
--   :most     INTEGER  how many rows to delete at most
--
-- Returns how many go.

SELECT count(*) AS response
  FROM (SELECT 1
          FROM audit
         WHERE created_at < :horizon
         LIMIT :most);

DELETE FROM audit
 WHERE id IN (
           SELECT id
             FROM audit
            WHERE created_at < :horizon
            ORDER BY created_at
            LIMIT :most);
