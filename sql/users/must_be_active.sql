-- Refuse what is asked by somebody who was suspended, or has left, since the request began.
--
--   :me  INTEGER  the caller's user id
--
-- Returns a verdict, or no row while the account may be used.

SELECT 'token: is invalid' AS verdict
 WHERE NOT EXISTS (SELECT 1 FROM visible_users WHERE id = :me AND suspended_at IS NULL);
