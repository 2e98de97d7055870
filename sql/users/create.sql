-- Open an account.
--
--   :username       TEXT  the name as it was given
--   :username_key   TEXT  the name, folded
--   :email          TEXT  the address as it was given
--   :email_key      TEXT  the address, folded
--   :password_hash  TEXT  Argon2id in PHC format
--   :now            TEXT  the time of the request

INSERT INTO users (
    username, username_key, email, email_key, password_hash, created_at, updated_at
)
VALUES (
    :username, :username_key, :email, :email_key, :password_hash, :now, :now
);
