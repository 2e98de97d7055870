-- Take an article that no longer exists out of the search index. The trigger does it for each that is deleted.
--
--   :id  INTEGER  the article's id

DELETE FROM article_search
 WHERE rowid = :id
   AND NOT EXISTS (SELECT 1 FROM articles WHERE id = :id);
