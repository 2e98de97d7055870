-- Mark an article as a favorite of the caller. Doing it twice changes nothing.
--
--   :slug  TEXT     a slug that the article has or had
--   :me    INTEGER  the caller's user id
--   :now   TEXT     the time of the request

INSERT INTO favorites (user_id, article_id, created_at)
SELECT :me, articles.id, :now
  FROM slugs
  JOIN visible_articles AS articles ON articles.id = slugs.article_id
 WHERE slugs.slug = :slug
    ON CONFLICT DO NOTHING;
