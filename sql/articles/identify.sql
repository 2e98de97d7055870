-- Which article a slug means, and whose it is.
--
--   :slug  TEXT  a slug that the article has or had
--
-- Returns object_id (the article's id) and user_id (its author's), for sql/audit/note.sql; no row when there is none.

SELECT articles.id        AS object_id,
       articles.author_id AS user_id
  FROM slugs
  JOIN visible_articles AS articles ON articles.id = slugs.article_id
 WHERE slugs.slug = :slug;
