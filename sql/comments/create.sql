-- Comment on an article. sql/articles/must_exist.sql goes before it.
--
--   :slug  TEXT     a slug that the article has or had
--   :me    INTEGER  the caller's user id
--   :body  TEXT     what they say
--   :now   TEXT     the time of the request

INSERT INTO comments (article_id, author_id, body, created_at)
SELECT articles.id, :me, :body, :now
  FROM slugs
  JOIN visible_articles AS articles ON articles.id = slugs.article_id
 WHERE slugs.slug = :slug;
