-- Articles, each with its words in the search index, for the command check to compare.
--
--   :after  INTEGER  only ids above this one; 0 for the first ones
--
-- Returns up to 20 rows in order of id. The article's columns are NULL where only the index has it, and the words are NULL
-- where only the table articles does.

WITH
either AS MATERIALIZED (
    SELECT id
      FROM (SELECT id
              FROM (SELECT id FROM articles WHERE id > :after ORDER BY id LIMIT 20)
             UNION
            SELECT id
              FROM (SELECT rowid AS id FROM article_search WHERE rowid > :after ORDER BY rowid LIMIT 20))
     ORDER BY id
     LIMIT 20
)
SELECT either.id,
       articles.slug,
       articles.author_id,
       articles.title,
       articles.description,
       articles.body,
       article_search.title       AS title_words,
       article_search.description AS description_words,
       article_search.body        AS body_words
  FROM either
  LEFT JOIN articles       ON articles.id = either.id
  LEFT JOIN article_search ON article_search.rowid = either.id
 ORDER BY either.id;
