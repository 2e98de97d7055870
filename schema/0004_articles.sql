-- Articles, and every slug under which each one can be found.

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

-- For sql/articles/find.sql with an author and for sql/articles/feed.sql: an index
-- on a rowid table ends in the rowid, so each author's articles stand in order of id.
CREATE INDEX articles_author_id_idx ON articles (author_id);

-- Every slug that an article has or ever had. Links that were shared keep working, and
-- the primary key sees to it that no other article takes one while its article exists.
CREATE TABLE slugs (
    slug        TEXT    NOT NULL PRIMARY KEY,
    article_id  INTEGER NOT NULL REFERENCES articles (id) ON DELETE CASCADE,

    -- GET /articles/feed is another route.
    CONSTRAINT slugs_slug_reserved CHECK (slug <> 'feed')
) STRICT, WITHOUT ROWID;

-- For the cascade from articles, which would scan without it.
CREATE INDEX slugs_article_id_idx ON slugs (article_id);

CREATE TRIGGER articles_after_insert_slug AFTER INSERT ON articles
BEGIN
    INSERT INTO slugs (slug, article_id)
    VALUES (NEW.slug, NEW.id);
END;

CREATE TRIGGER articles_after_update_slug AFTER UPDATE OF slug ON articles
BEGIN
    -- An article may return to a slug of its own; the slug of another one fails here.
    INSERT INTO slugs (slug, article_id)
    SELECT NEW.slug, NEW.id
     WHERE NOT EXISTS (SELECT 1 FROM slugs WHERE slug = NEW.slug AND article_id = NEW.id);
END;

-- How many there are. Counting a million rows takes SQLite milliseconds; this takes none.
CREATE TABLE totals (
    name   TEXT    NOT NULL PRIMARY KEY,
    total  INTEGER NOT NULL DEFAULT 0,

    CONSTRAINT totals_total_sign CHECK (total >= 0)
) STRICT, WITHOUT ROWID;

INSERT INTO totals (name) VALUES ('articles');

CREATE TRIGGER articles_after_insert_count AFTER INSERT ON articles
BEGIN
    UPDATE totals SET total = total + 1 WHERE name = 'articles';
    UPDATE users SET articles_count = articles_count + 1 WHERE id = NEW.author_id;
END;

CREATE TRIGGER articles_after_delete_count AFTER DELETE ON articles
BEGIN
    UPDATE totals SET total = total - 1 WHERE name = 'articles';
    UPDATE users SET articles_count = articles_count - 1 WHERE id = OLD.author_id;
END;
