-- Refuse to delete an article of somebody else, unless a moderator asks, or one that has changed since the caller
-- read it.
--
--   :slug      TEXT         a slug that the article has or had
--   :me        INTEGER      the caller's user id
--   :versions  TEXT | NULL  a JSON array: each updated_at that the caller takes for the newest; NULL for any
--
-- Returns one row: the verdict, NULL when the caller may delete the article.

SELECT CASE
           WHEN articles.id IS NULL                       THEN 'article: not found'
           WHEN articles.author_id <> :me
            AND caller.role NOT IN ('moderator', 'admin') THEN 'article: forbidden'
           WHEN :versions IS NOT NULL
            AND articles.updated_at NOT IN (SELECT value FROM json_each(:versions))
                                                          THEN 'etag: does not match'
       END AS verdict
  -- There is an answer also when the joins find nothing.
  FROM users AS caller
  LEFT JOIN slugs ON slugs.slug = :slug
  LEFT JOIN visible_articles AS articles ON articles.id = slugs.article_id
 WHERE caller.id = :me;
