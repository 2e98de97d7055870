-- Refuse what only moderators and admins may ask.
--
--   :me  INTEGER  the caller's user id
--
-- Returns a verdict, or no row when the caller is one of them.

SELECT 'route: forbidden' AS verdict
 WHERE NOT EXISTS (SELECT 1
                     FROM users
                    WHERE id = :me
                      AND role IN ('moderator', 'admin')
                      AND suspended_at IS NULL);
