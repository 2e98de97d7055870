-- A mail, and to whom it goes.
--
--   :id  INTEGER  the mail's id
--
-- Returns it as JSON; no row when it is gone.

SELECT json_object(
           'id',         outbox.id,
           'user_id',    outbox.user_id,
           'created_at', outbox.created_at,
           'attempts',   outbox.attempts,
           'username',   users.username,
           'email',      users.email) AS response
  FROM outbox
  JOIN users ON users.id = outbox.user_id
 WHERE outbox.id = :id;
