-- Take an article off the caller's favorites. Doing it twice changes nothing.
--
--   :slug  TEXT     a slug that the article has or had
--   :me    INTEGER  the caller's user id

DELETE FROM favorites
 WHERE user_id = :me
   AND article_id = (SELECT articles.id
                       FROM slugs
                       JOIN visible_articles AS articles ON articles.id = slugs.article_id
                      WHERE slugs.slug = :slug);
