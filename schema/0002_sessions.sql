-- Who is logged in where: one row for each token that was handed out.

CREATE TABLE sessions (
    id            INTEGER PRIMARY KEY AUTOINCREMENT, -- never reused: clients name a session by it
    user_id       INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- SHA-256 of the token in hexadecimal. Whoever reads the database learns no token.
    token_hash    TEXT    NOT NULL,
    created_at    TEXT    NOT NULL, -- UTC, 2026-01-31T12:00:00.000Z
    last_used_at  TEXT    NOT NULL, -- at most an hour old: it is not written on every request

    -- For sql/sessions/find.sql, which runs once in every request that carries a token.
    UNIQUE (token_hash),

    CONSTRAINT sessions_token_hash_format   CHECK (length(token_hash) = 64),
    CONSTRAINT sessions_created_at_format   CHECK (created_at LIKE '____-__-__T__:__:__.___Z'),
    CONSTRAINT sessions_last_used_at_format CHECK (last_used_at LIKE '____-__-__T__:__:__.___Z')
) STRICT;

-- For sql/sessions/delete_others.sql, and for the cascade from users.
CREATE INDEX sessions_user_id_idx ON sessions (user_id);
