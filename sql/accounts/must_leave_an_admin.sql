-- Refuse what would leave nobody who can manage the others.
--
--   :user_id    INTEGER         who is to be changed
--   :role       TEXT | NULL     the new role, 'deleted' for who leaves; NULL when it stays
--   :suspended  INTEGER | NULL  1 to suspend, 0 to restore; NULL to leave it
--
-- Returns a verdict, or no row when there still is an admin who is not suspended.

SELECT 'user: is the last admin' AS verdict
  FROM users
 WHERE id = :user_id
   AND role = 'admin'
   AND suspended_at IS NULL
   AND (:role <> 'admin' OR :suspended)
   AND NOT EXISTS (SELECT 1
                     -- Most people are members: SQLite's statistics know that, and not that few are admins.
                     FROM users AS other INDEXED BY users_role_idx
                    WHERE other.role = 'admin'
                      AND other.suspended_at IS NULL
                      AND other.id <> :user_id);
