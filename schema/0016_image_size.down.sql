-- Longer images may be stored again. Those that were removed do not come back.
-- foreign_keys: off

CREATE TABLE users_old (
    -- Logs and audits name people by id, so an id is never given twice.
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    username         TEXT    NOT NULL, -- as it was given
    username_key     TEXT    NOT NULL, -- folded: "Ann", "ANN" and "ａｎｎ" are one name
    email            TEXT    NOT NULL, -- as it was given
    email_key        TEXT    NOT NULL, -- folded likewise
    password_hash    TEXT    NOT NULL, -- Argon2id in PHC format, its parameters included
    role             TEXT    NOT NULL DEFAULT 'member', -- 'deleted' is the one who stands for all who have left
    suspended_at     TEXT,             -- NULL for those who are not
    bio              TEXT,
    image            TEXT,             -- any text: clients decide how to show it
    articles_count   INTEGER NOT NULL DEFAULT 0, -- kept by triggers on articles
    favorites_count  INTEGER NOT NULL DEFAULT 0, -- kept by triggers on favorites
    created_at       TEXT    NOT NULL, -- UTC, 2026-01-31T12:00:00.000Z
    updated_at       TEXT    NOT NULL,

    -- Names and addresses are looked up by their keys alone.
    UNIQUE (username_key),
    UNIQUE (email_key),

    CONSTRAINT users_username_length      CHECK (length(username) BETWEEN 1 AND 64),
    CONSTRAINT users_email_length         CHECK (length(email) BETWEEN 3 AND 254),
    CONSTRAINT users_role_name            CHECK (role IN ('member', 'moderator', 'admin', 'deleted')),
    CONSTRAINT users_bio_length           CHECK (length(bio) <= 5000),
    CONSTRAINT users_image_length         CHECK (length(image) <= 65536),
    CONSTRAINT users_articles_count_sign  CHECK (articles_count >= 0),
    CONSTRAINT users_favorites_count_sign CHECK (favorites_count >= 0),
    CONSTRAINT users_suspended_at_format  CHECK (suspended_at LIKE '____-__-__T__:__:__.___Z'),
    CONSTRAINT users_created_at_format    CHECK (created_at LIKE '____-__-__T__:__:__.___Z'),
    CONSTRAINT users_updated_at_format    CHECK (updated_at LIKE '____-__-__T__:__:__.___Z')
) STRICT;

INSERT INTO users_old (
    id, username, username_key, email, email_key, password_hash, role, suspended_at, bio, image,
    articles_count, favorites_count, created_at, updated_at
)
SELECT id, username, username_key, email, email_key, password_hash, role, suspended_at, bio,
       image,
       articles_count, favorites_count, created_at, updated_at
  FROM users;

-- No id of a deleted user comes back.
UPDATE sqlite_sequence
   SET seq = (SELECT seq FROM sqlite_sequence WHERE name = 'users')
 WHERE name = 'users_old';

DROP TABLE users;
ALTER TABLE users_old RENAME TO users;

-- For sql/accounts/find.sql with a role, and for sql/accounts/must_leave_an_admin.sql.
CREATE INDEX users_role_idx ON users (role);
-- For sql/stats/daily.sql.
CREATE INDEX users_created_at_idx ON users (created_at, role);
