-- Refuse what is asked of an article that there is not.
--
--   :slug  TEXT  a slug that the article has or had
--
-- Returns a verdict, or no row when there is such an article.

SELECT 'article: not found' AS verdict
 WHERE NOT EXISTS (SELECT 1
                     FROM slugs
                     JOIN visible_articles AS articles ON articles.id = slugs.article_id
                    WHERE slugs.slug = :slug);
