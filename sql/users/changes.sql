-- What of a change of the caller's account the audit log is to hold.
--
--   :me       INTEGER  the caller's user id
--   :changes  TEXT     as in sql/users/update.sql, which comes after it
--
-- Returns actions, a JSON array, for sql/audit/note.sql: what is sent as it was is no change.

SELECT json_group_array(action) AS actions
  FROM (SELECT 'user.change_username' AS action
          FROM users
         WHERE id = :me
           AND username <> :changes ->> 'username'
         UNION ALL
        SELECT 'user.change_email'
          FROM users
         WHERE id = :me
           AND email <> :changes ->> 'email'
         UNION ALL
        SELECT 'user.change_password'
         WHERE :changes ->> 'password_hash' IS NOT NULL);
