-- Change somebody's role, suspend or restore them. Who is suspended is logged out everywhere.
--
--   :user_id    INTEGER         who is to be changed
--   :role       TEXT | NULL     the new role; NULL to leave it
--   :suspended  INTEGER | NULL  1 to suspend, 0 to restore; NULL to leave it
--   :now        TEXT            the time of the request

UPDATE users
   SET role         = coalesce(:role, role),
       suspended_at = CASE :suspended
                          WHEN 1 THEN coalesce(suspended_at, :now)
                          WHEN 0 THEN NULL
                          ELSE suspended_at
                      END,
       updated_at   = :now
 WHERE id = :user_id;

DELETE FROM sessions
 WHERE user_id = :user_id
   AND :suspended;
