-- What somebody who has forgotten a password needs: a token, and a mail that brings it.

CREATE TABLE password_resets (
    -- SHA-256 of the token in hexadecimal. Whoever reads the database learns no token.
    token_hash  TEXT    NOT NULL PRIMARY KEY,
    user_id     INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at  TEXT    NOT NULL, -- UTC, 2026-01-31T12:00:00.000Z

    CONSTRAINT password_resets_token_hash_format CHECK (length(token_hash) = 64),
    CONSTRAINT password_resets_created_at_format CHECK (created_at LIKE '____-__-__T__:__:__.___Z')
) STRICT, WITHOUT ROWID;

-- For sql/resets/delete.sql, and for the cascade from users.
CREATE INDEX password_resets_user_id_idx ON password_resets (user_id);
-- For sql/resets/delete_old.sql.
CREATE INDEX password_resets_created_at_idx ON password_resets (created_at);

-- Password resets that wait to be mailed. The token of each is made when it is sent: it never stands here.
CREATE TABLE outbox (
    id                INTEGER PRIMARY KEY AUTOINCREMENT, -- a mail that was sent twice is the same one
    user_id           INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at        TEXT    NOT NULL, -- UTC, 2026-01-31T12:00:00.000Z
    next_attempt_at   TEXT    NOT NULL,
    attempts          INTEGER NOT NULL DEFAULT 0,

    -- However often somebody asks, one mail waits.
    UNIQUE (user_id),

    CONSTRAINT outbox_created_at_format      CHECK (created_at LIKE '____-__-__T__:__:__.___Z'),
    CONSTRAINT outbox_next_attempt_at_format CHECK (next_attempt_at LIKE '____-__-__T__:__:__.___Z')
) STRICT;

-- For sql/outbox/next.sql.
CREATE INDEX outbox_next_attempt_at_idx ON outbox (next_attempt_at);
