-- Refuse to delete a comment of somebody else, unless a moderator asks, or one that stands elsewhere.
--
--   :slug  TEXT     a slug that the article has or had
--   :id    INTEGER  the comment's id
--   :me    INTEGER  the caller's user id
--
-- Returns one row: the verdict, NULL when the comment stands under this article and the caller may delete it.

SELECT CASE
           WHEN articles.id IS NULL                       THEN 'article: not found'
           WHEN comments.id IS NULL                       THEN 'comment: not found'
           WHEN comments.author_id <> :me
            AND caller.role NOT IN ('moderator', 'admin') THEN 'comment: forbidden'
       END AS verdict
  -- There is an answer also when the joins find nothing.
  FROM users AS caller
  LEFT JOIN slugs                        ON slugs.slug = :slug
  LEFT JOIN visible_articles AS articles ON articles.id = slugs.article_id
  LEFT JOIN visible_comments AS comments ON comments.id = :id
                                        AND comments.article_id = articles.id
 WHERE caller.id = :me;
