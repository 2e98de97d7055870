-- Loses every article and every slug. Its triggers go with the table.
DROP TABLE slugs;
DROP TABLE articles;
DROP TABLE totals;

UPDATE users SET articles_count = 0;
