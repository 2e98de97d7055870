-- Back to an index of the texts as they are, without the words of scripts other than Latin.
DROP TRIGGER articles_after_delete_search;
DROP TABLE article_search;

-- The index alone: the texts stay in articles (https://sqlite.org/fts5.html#external_content_tables).
CREATE VIRTUAL TABLE article_search USING fts5 (
    title,
    description,
    body,
    content = 'articles',
    content_rowid = 'id',
    -- "Café" is found as "cafe".
    tokenize = "unicode61 remove_diacritics 2",
    -- The beginnings of words are looked up like words.
    prefix = '2 3'
);

INSERT INTO article_search (article_search) VALUES ('rebuild');

CREATE TRIGGER articles_after_insert_search AFTER INSERT ON articles
BEGIN
    INSERT INTO article_search (rowid, title, description, body)
    VALUES (NEW.id, NEW.title, NEW.description, NEW.body);
END;

-- The index forgets a text only when it is told that text again.
CREATE TRIGGER articles_after_delete_search AFTER DELETE ON articles
BEGIN
    INSERT INTO article_search (article_search, rowid, title, description, body)
    VALUES ('delete', OLD.id, OLD.title, OLD.description, OLD.body);
END;

CREATE TRIGGER articles_after_update_search AFTER UPDATE OF title, description, body ON articles
    WHEN (OLD.title, OLD.description, OLD.body) IS NOT (NEW.title, NEW.description, NEW.body)
BEGIN
    INSERT INTO article_search (article_search, rowid, title, description, body)
    VALUES ('delete', OLD.id, OLD.title, OLD.description, OLD.body);
    INSERT INTO article_search (rowid, title, description, body)
    VALUES (NEW.id, NEW.title, NEW.description, NEW.body);
END;
