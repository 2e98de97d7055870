-- Who may do more than others, who may do nothing for now, and what stays of those who have left.
-- foreign_keys: off

CREATE TABLE users_new (
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

INSERT INTO users_new (
    id, username, username_key, email, email_key, password_hash, bio, image,
    articles_count, favorites_count, created_at, updated_at
)
SELECT id, username, username_key, email, email_key, password_hash, bio, image,
       articles_count, favorites_count, created_at, updated_at
  FROM users;

-- After a way back, whoever stands for all who have left is there already: no account has an email without an @.
UPDATE users_new
   SET role = 'deleted'
 WHERE email_key = 'deleted user';

-- No id of a deleted user comes back.
UPDATE sqlite_sequence
   SET seq = (SELECT seq FROM sqlite_sequence WHERE name = 'users')
 WHERE name = 'users_new';

DROP TABLE users;
ALTER TABLE users_new RENAME TO users;

-- For sql/accounts/find.sql with a role, and for sql/accounts/must_leave_an_admin.sql.
CREATE INDEX users_role_idx ON users (role);

-- Names that nobody can take: of those who have left, as SHA-256 of the folded name in hexadecimal.
CREATE TABLE reserved_usernames (
    username_key_hash  TEXT  NOT NULL PRIMARY KEY,

    CONSTRAINT reserved_usernames_username_key_hash_format CHECK (length(username_key_hash) = 64)
) STRICT, WITHOUT ROWID;

-- "deleted user", under which articles and comments of those who have left are shown.
INSERT INTO reserved_usernames (username_key_hash)
VALUES ('c9cc0c29299830993359af5407ab9bd376febe945d318e804c822e8df940dfae');

-- What somebody leaves behind becomes another one's.
CREATE TRIGGER articles_after_update_author AFTER UPDATE OF author_id ON articles
BEGIN
    UPDATE users SET articles_count = articles_count - 1 WHERE id = OLD.author_id;
    UPDATE users SET articles_count = articles_count + 1 WHERE id = NEW.author_id;
END;
