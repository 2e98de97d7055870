-- Delete an account with everything that hangs on it (ON DELETE CASCADE), and keep its name from being taken.
--
--   :user_id            INTEGER  the user who leaves
--   :username_key_hash  TEXT     SHA-256 of the folded username

INSERT INTO reserved_usernames (username_key_hash)
VALUES (:username_key_hash)
    ON CONFLICT DO NOTHING;

DELETE FROM users
 WHERE id = :user_id;
