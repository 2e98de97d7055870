-- The search index holds words that the application has normalized (handlers/words.py), for every script alike.

DROP TRIGGER articles_after_insert_search;
DROP TRIGGER articles_after_delete_search;
DROP TRIGGER articles_after_update_search;
DROP TABLE article_search;

-- sql/articles/index.sql writes a row for each article: its distinct words, separated by blanks.
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

-- Until the command `check --repair` normalizes them, the articles that are here are found by words of plain ASCII.
INSERT INTO article_search (rowid, title, description, body)
SELECT id, title, description, body
  FROM articles;

CREATE TRIGGER articles_after_delete_search AFTER DELETE ON articles
BEGIN
    DELETE FROM article_search WHERE rowid = OLD.id;
END;
