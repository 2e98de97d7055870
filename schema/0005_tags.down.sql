-- Loses every tag; the articles stay.
DROP TABLE article_tags;
DROP TABLE tags;
