-- A mail, and to whom it goes.
--
--   :id  INTEGER  the mail's id
--
-- Returns one row: the mail's id, since when it waits, and the user's name and email; no row when it is gone.

SELECT outbox.id,
       outbox.created_at,
       users.username,
       users.email
  FROM outbox
  JOIN users ON users.id = outbox.user_id
 WHERE outbox.id = :id;
