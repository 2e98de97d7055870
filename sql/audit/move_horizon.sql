-- Let what the audit log holds of before a time be deleted. The horizon never moves back.
--
--   :horizon  TEXT  the time

UPDATE audit_horizon
   SET created_at = :horizon
 WHERE id = 1
   AND created_at < :horizon;
