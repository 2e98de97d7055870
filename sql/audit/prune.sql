-- Move the horizon of the audit log, and delete what then lies behind it.
--
--   :horizon  TEXT  what was noted before this time goes
--
-- Returns how many entries went. A horizon that lies further ahead already stays.

UPDATE audit_horizon
   SET created_at = :horizon
 WHERE id = 1
   AND created_at < :horizon;

SELECT count(*) AS response
  FROM audit
 WHERE created_at < :horizon;

DELETE FROM audit
 WHERE created_at < :horizon;
