-- Refuse to change an account over which the caller has no say: moderators suspend members, admins change anybody.
--
--   :me            INTEGER      the caller's user id, a moderator's or an admin's
--   :username_key  TEXT         the folded username of whom to change
--   :role          TEXT | NULL  the new role; NULL to leave it
--
-- Returns one row: the verdict, NULL when the change is allowed.

SELECT CASE
           WHEN account.id IS NULL                                     THEN 'user: not found'
           WHEN caller.role = 'moderator' AND :role IS NOT NULL        THEN 'role: forbidden'
           WHEN caller.role = 'moderator' AND account.role <> 'member' THEN 'user: forbidden'
       END AS verdict
  FROM users AS caller
  LEFT JOIN users AS account ON account.username_key = :username_key
                            AND account.role <> 'deleted'
 WHERE caller.id = :me;
