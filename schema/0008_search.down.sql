-- Loses the search index; the articles stay.
DROP TRIGGER articles_after_insert_search;
DROP TRIGGER articles_after_delete_search;
DROP TRIGGER articles_after_update_search;
DROP TABLE article_search;
