-- Every kept counter that is not what a recount says. Triggers keep them: there should be none.
--
-- Returns a row for each: counter (table.column), id (of the row that holds it), kept and counted. It reads whole
-- tables, so it is for `check` alone.

SELECT 'totals.total' AS counter, name AS id, total AS kept, counted.number AS counted
  FROM totals
  JOIN (SELECT count(*) AS number FROM articles) AS counted
 WHERE name = 'articles'
   AND total <> counted.number
 UNION ALL
SELECT 'users.articles_count', id, articles_count, ifnull(counted.number, 0)
  FROM users
  LEFT JOIN (SELECT author_id, count(*) AS number FROM articles GROUP BY author_id) AS counted
         ON counted.author_id = users.id
 WHERE articles_count <> ifnull(counted.number, 0)
 UNION ALL
SELECT 'users.favorites_count', id, favorites_count, ifnull(counted.number, 0)
  FROM users
  LEFT JOIN (SELECT user_id, count(*) AS number FROM favorites GROUP BY user_id) AS counted
         ON counted.user_id = users.id
 WHERE favorites_count <> ifnull(counted.number, 0)
 UNION ALL
SELECT 'articles.favorites_count', id, favorites_count, ifnull(counted.number, 0)
  FROM articles
  LEFT JOIN (SELECT article_id, count(*) AS number FROM favorites GROUP BY article_id) AS counted
         ON counted.article_id = articles.id
 WHERE favorites_count <> ifnull(counted.number, 0)
 UNION ALL
SELECT 'tags.articles_count', id, articles_count, ifnull(counted.number, 0)
  FROM tags
  LEFT JOIN (SELECT tag_id, count(*) AS number FROM article_tags GROUP BY tag_id) AS counted
         ON counted.tag_id = tags.id
 WHERE articles_count <> ifnull(counted.number, 0);
