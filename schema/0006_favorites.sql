-- Who likes which article.

CREATE TABLE favorites (
    user_id     INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    article_id  INTEGER NOT NULL REFERENCES articles (id) ON DELETE CASCADE,
    created_at  TEXT    NOT NULL, -- UTC, 2026-01-31T12:00:00.000Z

    -- Answers "what does she like", in order of id (sql/articles/find.sql),
    -- and "does she like this one" (every article that is shown).
    PRIMARY KEY (user_id, article_id),

    CONSTRAINT favorites_created_at_format CHECK (created_at LIKE '____-__-__T__:__:__.___Z')
) STRICT, WITHOUT ROWID;

-- For the cascade from articles, which would scan without it.
CREATE INDEX favorites_article_id_idx ON favorites (article_id);

CREATE TRIGGER favorites_after_insert_count AFTER INSERT ON favorites
BEGIN
    UPDATE articles SET favorites_count = favorites_count + 1 WHERE id = NEW.article_id;
    UPDATE users SET favorites_count = favorites_count + 1 WHERE id = NEW.user_id;
END;

CREATE TRIGGER favorites_after_delete_count AFTER DELETE ON favorites
BEGIN
    UPDATE articles SET favorites_count = favorites_count - 1 WHERE id = OLD.article_id;
    UPDATE users SET favorites_count = favorites_count - 1 WHERE id = OLD.user_id;
END;
