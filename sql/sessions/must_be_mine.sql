-- Refuse to end a session that is not the caller's: to others it does not exist.
--
--   :id  INTEGER  the session's id
--   :me  INTEGER  the caller's user id
--
-- Returns a verdict, or no row when the session is the caller's.

SELECT 'session: not found' AS verdict
 WHERE NOT EXISTS (SELECT 1 FROM sessions WHERE id = :id AND user_id = :me);
