-- Tags, and which article bears which of them in which order.

CREATE TABLE tags (
    id              INTEGER PRIMARY KEY,
    name            TEXT    NOT NULL,
    articles_count  INTEGER NOT NULL DEFAULT 0, -- kept by triggers on article_tags

    UNIQUE (name),

    CONSTRAINT tags_name_length         CHECK (length(name) BETWEEN 1 AND 64),
    CONSTRAINT tags_articles_count_sign CHECK (articles_count >= 0)
) STRICT;

-- For sql/tags/list.sql: read backwards it is "most used first, ties newest first".
CREATE INDEX tags_articles_count_idx ON tags (articles_count);

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

CREATE TRIGGER article_tags_after_insert_count AFTER INSERT ON article_tags
BEGIN
    UPDATE tags SET articles_count = articles_count + 1 WHERE id = NEW.tag_id;
END;

CREATE TRIGGER article_tags_after_delete_count AFTER DELETE ON article_tags
BEGIN
    UPDATE tags SET articles_count = articles_count - 1 WHERE id = OLD.tag_id;
END;
