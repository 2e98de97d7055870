-- What of a change of somebody's account the audit log is to hold.
--
--   :user_id    INTEGER         who is to be changed
--   :role       TEXT | NULL     the new role; NULL when it stays
--   :suspended  INTEGER | NULL  1 to suspend, 0 to restore; NULL to leave it
--
-- Returns actions, a JSON array, for sql/audit/note.sql: what stays as it was is no change.

SELECT json_group_array(action) AS actions
  FROM (SELECT 'user.make_' || :role AS action
          FROM users
         WHERE id = :user_id
           AND role <> :role
         UNION ALL
        SELECT iif(:suspended, 'user.suspend', 'user.restore')
          FROM users
         WHERE id = :user_id
           AND (suspended_at IS NOT NULL) <> :suspended);
