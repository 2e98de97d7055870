-- The whole schema, as the scripts in this folder build it, by table.
-- Made by `python app.py schema dump`; do not edit. The reasons stand in the scripts.

CREATE VIRTUAL TABLE article_search USING fts5 (
    title,
    description,
    body,
    -- Splits at blanks: to it, every character outside ASCII is a letter.
    tokenize = 'ascii',
    -- The beginnings of words are looked up like words.
    prefix = '2 3',
    -- Which column has a word is asked; where in it, or how often, is not.
    detail = column,
    columnsize = 0
);

CREATE TABLE article_tags (
    article_id  INTEGER NOT NULL REFERENCES articles (id) ON DELETE CASCADE,
    position    INTEGER NOT NULL, -- from 0, in the order in which the author gave them
    tag_id      INTEGER NOT NULL REFERENCES tags (id) ON DELETE CASCADE,

    -- An article's tags are read in this order.
    PRIMARY KEY (article_id, position),
    -- For sql/articles/find.sql with a tag: the articles of a tag, in order of id.
    UNIQUE (tag_id, article_id),

    CONSTRAINT article_tags_position_range CHECK (position BETWEEN 0 AND 49)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER article_tags_after_delete_count AFTER DELETE ON article_tags
BEGIN
    UPDATE tags SET articles_count = articles_count - 1 WHERE id = OLD.tag_id;
END;

CREATE TRIGGER article_tags_after_insert_count AFTER INSERT ON article_tags
BEGIN
    UPDATE tags SET articles_count = articles_count + 1 WHERE id = NEW.tag_id;
END;

CREATE TABLE articles (
    -- Ascending with time and never reused: "newest first" is this key, descending.
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    author_id        INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    slug             TEXT    NOT NULL, -- the current one; all others stand in slugs
    title            TEXT    NOT NULL,
    description      TEXT    NOT NULL,
    favorites_count  INTEGER NOT NULL DEFAULT 0, -- kept by triggers on favorites
    created_at       TEXT    NOT NULL, -- UTC, 2026-01-31T12:00:00.000Z
    updated_at       TEXT    NOT NULL,
    -- Last, because it is long: whoever reads the columns before it never touches its pages.
    body             TEXT    NOT NULL,

    CONSTRAINT articles_title_length         CHECK (length(title) BETWEEN 1 AND 255),
    CONSTRAINT articles_description_length   CHECK (length(description) BETWEEN 1 AND 1000),
    CONSTRAINT articles_body_length          CHECK (length(body) BETWEEN 1 AND 1000000),
    CONSTRAINT articles_favorites_count_sign CHECK (favorites_count >= 0),
    CONSTRAINT articles_created_at_format    CHECK (created_at LIKE '____-__-__T__:__:__.___Z'),
    CONSTRAINT articles_updated_at_format    CHECK (updated_at LIKE '____-__-__T__:__:__.___Z'),
    CONSTRAINT articles_updated_at_order     CHECK (updated_at >= created_at)
) STRICT;

CREATE INDEX articles_author_id_idx ON articles (author_id);

CREATE INDEX articles_created_at_idx ON articles (created_at, author_id);

CREATE TRIGGER articles_after_delete_count AFTER DELETE ON articles
BEGIN
    UPDATE totals SET total = total - 1 WHERE name = 'articles';
    UPDATE users SET articles_count = articles_count - 1 WHERE id = OLD.author_id;
END;

CREATE TRIGGER articles_after_delete_search AFTER DELETE ON articles
BEGIN
    DELETE FROM article_search WHERE rowid = OLD.id;
END;

CREATE TRIGGER articles_after_insert_count AFTER INSERT ON articles
BEGIN
    UPDATE totals SET total = total + 1 WHERE name = 'articles';
    UPDATE users SET articles_count = articles_count + 1 WHERE id = NEW.author_id;
END;

CREATE TRIGGER articles_after_insert_slug AFTER INSERT ON articles
BEGIN
    INSERT INTO slugs (slug, article_id)
    VALUES (NEW.slug, NEW.id);
END;

CREATE TRIGGER articles_after_update_author AFTER UPDATE OF author_id ON articles
BEGIN
    UPDATE users SET articles_count = articles_count - 1 WHERE id = OLD.author_id;
    UPDATE users SET articles_count = articles_count + 1 WHERE id = NEW.author_id;
END;

CREATE TRIGGER articles_after_update_slug AFTER UPDATE OF slug ON articles
BEGIN
    -- An article may return to a slug of its own; the slug of another one fails here.
    INSERT INTO slugs (slug, article_id)
    SELECT NEW.slug, NEW.id
     WHERE NOT EXISTS (SELECT 1 FROM slugs WHERE slug = NEW.slug AND article_id = NEW.id);
END;

CREATE TABLE attempts (
    subject         TEXT    NOT NULL PRIMARY KEY, -- what is counted, and of whom: "login from 192.0.2.1"
    -- How full the measure is: each attempt adds 1, and time takes away (a leaky bucket).
    level           REAL    NOT NULL,
    -- Milliseconds since 1970, unlike the times of other tables: these are reckoned with.
    counted_at_ms   INTEGER NOT NULL,
    waits_until_ms  INTEGER NOT NULL, -- until then the next attempt is refused; 0 for none

    CONSTRAINT attempts_level_sign CHECK (level >= 0)
) STRICT, WITHOUT ROWID;

CREATE INDEX attempts_counted_at_ms_idx ON attempts (counted_at_ms);

CREATE TABLE audit (
    id          INTEGER PRIMARY KEY AUTOINCREMENT, -- "newest first" is this key, descending
    created_at  TEXT    NOT NULL, -- UTC, 2026-01-31T12:00:00.000Z
    -- Users stand here by their id alone, which says nothing once they have left: no foreign keys.
    actor_id    INTEGER, -- who did it; NULL for who was not logged in, and for the command line
    action      TEXT    NOT NULL, -- docs/api.md lists them
    user_id     INTEGER, -- whose account or text it was; NULL for nobody's
    object_id   INTEGER, -- the id of the article or comment
    request_id  TEXT,    -- the answer's X-Request-Id; NULL for the command line

    CONSTRAINT audit_created_at_format CHECK (created_at LIKE '____-__-__T__:__:__.___Z'),
    CONSTRAINT audit_action_format     CHECK (action GLOB '[a-z]*.[a-z]*')
) STRICT;

CREATE INDEX audit_actor_id_idx ON audit (actor_id);

CREATE INDEX audit_created_at_idx ON audit (created_at);

CREATE INDEX audit_user_id_idx ON audit (user_id);

CREATE TRIGGER audit_before_delete_refuse BEFORE DELETE ON audit
    WHEN OLD.created_at >= (SELECT created_at FROM audit_horizon WHERE id = 1)
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only: `audit prune` moves its horizon');
END;

CREATE TRIGGER audit_before_insert_refuse BEFORE INSERT ON audit
    WHEN EXISTS (SELECT 1 FROM audit WHERE id = NEW.id)
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;

CREATE TRIGGER audit_before_update_refuse BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;

CREATE TABLE audit_horizon (
    id          INTEGER PRIMARY KEY,
    created_at  TEXT    NOT NULL, -- UTC, 2026-01-31T12:00:00.000Z

    CONSTRAINT audit_horizon_created_at_format CHECK (created_at LIKE '____-__-__T__:__:__.___Z'),
    CONSTRAINT audit_horizon_id_one            CHECK (id = 1)
) STRICT;

CREATE TRIGGER audit_horizon_before_delete_refuse BEFORE DELETE ON audit_horizon
BEGIN
    SELECT RAISE(ABORT, 'the audit log has one horizon');
END;

CREATE TRIGGER audit_horizon_before_insert_refuse BEFORE INSERT ON audit_horizon
    WHEN EXISTS (SELECT 1 FROM audit_horizon WHERE id = NEW.id)
BEGIN
    SELECT RAISE(ABORT, 'the audit log has one horizon');
END;

CREATE TRIGGER audit_horizon_before_update_refuse BEFORE UPDATE ON audit_horizon
    WHEN NEW.created_at < OLD.created_at
BEGIN
    SELECT RAISE(ABORT, 'the horizon of the audit log never moves back');
END;

CREATE TABLE closed_accounts (
    user_id  INTEGER PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE
) STRICT;

CREATE TABLE comments (
    id          INTEGER PRIMARY KEY AUTOINCREMENT, -- clients name a comment by it: never reused
    article_id  INTEGER NOT NULL REFERENCES articles (id) ON DELETE CASCADE,
    author_id   INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    body        TEXT    NOT NULL,
    created_at  TEXT    NOT NULL, -- UTC, 2026-01-31T12:00:00.000Z

    CONSTRAINT comments_body_length       CHECK (length(body) BETWEEN 1 AND 65536),
    CONSTRAINT comments_created_at_format CHECK (created_at LIKE '____-__-__T__:__:__.___Z')
) STRICT;

CREATE INDEX comments_article_id_idx ON comments (article_id);

CREATE INDEX comments_author_id_idx ON comments (author_id);

CREATE INDEX comments_created_at_idx ON comments (created_at, author_id);

CREATE TABLE favorites (
    user_id     INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    article_id  INTEGER NOT NULL REFERENCES articles (id) ON DELETE CASCADE,
    created_at  TEXT    NOT NULL, -- UTC, 2026-01-31T12:00:00.000Z

    -- Answers "what does she like", in order of id (sql/articles/find.sql),
    -- and "does she like this one" (every article that is shown).
    PRIMARY KEY (user_id, article_id),

    CONSTRAINT favorites_created_at_format CHECK (created_at LIKE '____-__-__T__:__:__.___Z')
) STRICT, WITHOUT ROWID;

CREATE INDEX favorites_article_id_idx ON favorites (article_id);

CREATE TRIGGER favorites_after_delete_count AFTER DELETE ON favorites
BEGIN
    UPDATE articles SET favorites_count = favorites_count - 1 WHERE id = OLD.article_id;
    UPDATE users SET favorites_count = favorites_count - 1 WHERE id = OLD.user_id;
END;

CREATE TRIGGER favorites_after_insert_count AFTER INSERT ON favorites
BEGIN
    UPDATE articles SET favorites_count = favorites_count + 1 WHERE id = NEW.article_id;
    UPDATE users SET favorites_count = favorites_count + 1 WHERE id = NEW.user_id;
END;

CREATE TABLE follows (
    follower_id  INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    followed_id  INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at   TEXT    NOT NULL, -- UTC, 2026-01-31T12:00:00.000Z

    -- In this order the key answers both "whom does she follow" (sql/articles/feed.sql)
    -- and "does she follow him" (every author that is shown).
    PRIMARY KEY (follower_id, followed_id),

    CONSTRAINT follows_created_at_format CHECK (created_at LIKE '____-__-__T__:__:__.___Z')
) STRICT, WITHOUT ROWID;

CREATE INDEX follows_followed_id_idx ON follows (followed_id);

CREATE VIEW hidden_articles AS
SELECT id
  FROM articles INDEXED BY articles_author_id_idx
 WHERE author_id IN (SELECT user_id FROM hidden_authors);

CREATE TABLE hidden_authors (
    user_id  INTEGER PRIMARY KEY REFERENCES closed_accounts (user_id) ON DELETE CASCADE
) STRICT;

CREATE VIEW hidden_comments AS
SELECT id
  FROM comments INDEXED BY comments_author_id_idx
 WHERE author_id IN (SELECT user_id FROM hidden_authors)
 UNION ALL
SELECT id
  FROM comments INDEXED BY comments_article_id_idx
 WHERE article_id IN (SELECT id FROM hidden_articles);

CREATE VIEW hidden_tags AS
SELECT article_tags.tag_id,
       count(*) AS articles_count
  FROM hidden_articles
 CROSS JOIN article_tags ON article_tags.article_id = hidden_articles.id
 GROUP BY article_tags.tag_id;

CREATE TABLE login_addresses (
    user_id  INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    address  TEXT    NOT NULL, -- of IPv6 the network (/64), which one household shares
    used_at  TEXT    NOT NULL, -- UTC, 2026-01-31T12:00:00.000Z

    PRIMARY KEY (user_id, address),

    CONSTRAINT login_addresses_used_at_format CHECK (used_at LIKE '____-__-__T__:__:__.___Z')
) STRICT;

CREATE INDEX login_addresses_used_at_idx ON login_addresses (used_at);

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

CREATE INDEX outbox_next_attempt_at_idx ON outbox (next_attempt_at);

CREATE TABLE password_resets (
    -- SHA-256 of the token in hexadecimal. Whoever reads the database learns no token.
    token_hash  TEXT    NOT NULL PRIMARY KEY,
    user_id     INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at  TEXT    NOT NULL, -- UTC, 2026-01-31T12:00:00.000Z

    CONSTRAINT password_resets_token_hash_format CHECK (length(token_hash) = 64),
    CONSTRAINT password_resets_created_at_format CHECK (created_at LIKE '____-__-__T__:__:__.___Z')
) STRICT, WITHOUT ROWID;

CREATE INDEX password_resets_created_at_idx ON password_resets (created_at);

CREATE INDEX password_resets_user_id_idx ON password_resets (user_id);

CREATE TABLE reserved_usernames (
    username_key_hash  TEXT  NOT NULL PRIMARY KEY,

    CONSTRAINT reserved_usernames_username_key_hash_format CHECK (length(username_key_hash) = 64)
) STRICT, WITHOUT ROWID;

CREATE TABLE sessions (
    id            INTEGER PRIMARY KEY AUTOINCREMENT, -- never reused: clients name a session by it
    user_id       INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- SHA-256 of the token in hexadecimal. Whoever reads the database learns no token.
    token_hash    TEXT    NOT NULL,
    created_at    TEXT    NOT NULL, -- UTC, 2026-01-31T12:00:00.000Z
    last_used_at  TEXT    NOT NULL, user_agent TEXT -- as the client names itself; NULL for one that does not
    CONSTRAINT sessions_user_agent_length CHECK (length(user_agent) BETWEEN 1 AND 255), -- at most an hour old: it is not written on every request

    -- For sql/sessions/find.sql, which runs once in every request that carries a token.
    UNIQUE (token_hash),

    CONSTRAINT sessions_token_hash_format   CHECK (length(token_hash) = 64),
    CONSTRAINT sessions_created_at_format   CHECK (created_at LIKE '____-__-__T__:__:__.___Z'),
    CONSTRAINT sessions_last_used_at_format CHECK (last_used_at LIKE '____-__-__T__:__:__.___Z')
) STRICT;

CREATE INDEX sessions_last_used_at_idx ON sessions (last_used_at);

CREATE INDEX sessions_user_id_idx ON sessions (user_id);

CREATE TABLE slugs (
    slug        TEXT    NOT NULL PRIMARY KEY,
    article_id  INTEGER NOT NULL REFERENCES articles (id) ON DELETE CASCADE,

    -- GET /articles/feed is another route.
    CONSTRAINT slugs_slug_reserved CHECK (slug <> 'feed')
) STRICT, WITHOUT ROWID;

CREATE INDEX slugs_article_id_idx ON slugs (article_id);

CREATE TABLE tags (
    id              INTEGER PRIMARY KEY,
    name            TEXT    NOT NULL,
    articles_count  INTEGER NOT NULL DEFAULT 0, -- kept by triggers on article_tags

    UNIQUE (name),

    CONSTRAINT tags_name_length         CHECK (length(name) BETWEEN 1 AND 64),
    CONSTRAINT tags_articles_count_sign CHECK (articles_count >= 0)
) STRICT;

CREATE INDEX tags_articles_count_idx ON tags (articles_count);

CREATE TABLE totals (
    name   TEXT    NOT NULL PRIMARY KEY,
    total  INTEGER NOT NULL DEFAULT 0,

    CONSTRAINT totals_total_sign CHECK (total >= 0)
) STRICT, WITHOUT ROWID;

CREATE TABLE users (
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
    image            TEXT,             -- any line of text: clients decide how to show it
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
    -- A page of articles or comments holds an image for each of them.
    CONSTRAINT users_image_length         CHECK (length(image) <= 8192),
    -- No control characters: U+0001 to U+001F and U+007F to U+009F. JSON takes six bytes for most of them.
    CONSTRAINT users_image_characters     CHECK (image NOT GLOB '*[' || char(1, 45, 31, 127, 45, 159) || ']*'),
    CONSTRAINT users_articles_count_sign  CHECK (articles_count >= 0),
    CONSTRAINT users_favorites_count_sign CHECK (favorites_count >= 0),
    CONSTRAINT users_suspended_at_format  CHECK (suspended_at LIKE '____-__-__T__:__:__.___Z'),
    CONSTRAINT users_created_at_format    CHECK (created_at LIKE '____-__-__T__:__:__.___Z'),
    CONSTRAINT users_updated_at_format    CHECK (updated_at LIKE '____-__-__T__:__:__.___Z')
) STRICT;

CREATE INDEX users_created_at_idx ON users (created_at, role);

CREATE INDEX users_role_idx ON users (role);

CREATE VIEW visible_articles AS
SELECT *,
       favorites_count - iif(EXISTS (SELECT 1 FROM closed_accounts), (
           SELECT count(*)
             FROM closed_accounts
            WHERE EXISTS (
                      SELECT 1 FROM favorites
                       WHERE user_id = closed_accounts.user_id AND article_id = articles.id)), 0)
       AS visible_favorites_count
  FROM articles
 WHERE author_id NOT IN (SELECT user_id FROM hidden_authors);

CREATE VIEW visible_comments AS
SELECT *
  FROM comments
 WHERE author_id NOT IN (SELECT user_id FROM hidden_authors);

CREATE VIEW visible_follows AS
SELECT *
  FROM follows
 WHERE followed_id NOT IN (SELECT user_id FROM closed_accounts);

CREATE VIEW visible_sessions AS
SELECT *
  FROM sessions
 WHERE user_id NOT IN (SELECT user_id FROM closed_accounts);

CREATE VIEW visible_users AS
SELECT *
  FROM users
 WHERE id NOT IN (SELECT user_id FROM closed_accounts);
