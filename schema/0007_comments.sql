-- What readers say under an article. A comment is never edited.

CREATE TABLE comments (
    id          INTEGER PRIMARY KEY AUTOINCREMENT, -- clients name a comment by it: never reused
    article_id  INTEGER NOT NULL REFERENCES articles (id) ON DELETE CASCADE,
    author_id   INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    body        TEXT    NOT NULL,
    created_at  TEXT    NOT NULL, -- UTC, 2026-01-31T12:00:00.000Z

    CONSTRAINT comments_body_length       CHECK (length(body) BETWEEN 1 AND 65536),
    CONSTRAINT comments_created_at_format CHECK (created_at LIKE '____-__-__T__:__:__.___Z')
) STRICT;

-- For sql/comments/find.sql: read backwards it is an article's comments, newest first.
CREATE INDEX comments_article_id_idx ON comments (article_id);

-- For the caller's newest comment in sql/comments/render.sql, and for the cascade from users.
CREATE INDEX comments_author_id_idx ON comments (author_id);
