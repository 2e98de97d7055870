-- The caller's favorites, for the export: 1,000 a page.
--
--   :me     INTEGER  the caller's user id
--   :after  TEXT     only favorites of articles above this id; '' for the first page
--
-- Returns one row: entries (a JSON array) and next (after which the next page begins; NULL on the last page).

WITH page AS (
    SELECT favorites.article_id AS key,
           json_object(
               'article',   articles.slug,
               'createdAt', favorites.created_at
           ) AS entry
      FROM favorites
      JOIN visible_articles AS articles ON articles.id = favorites.article_id
     WHERE favorites.user_id = :me
       AND favorites.article_id > CAST(:after AS INTEGER)
     ORDER BY favorites.article_id
     LIMIT 1000
)
-- json() again: text that crossed a CTE is no longer known to be JSON.
SELECT json_group_array(json(entry))        AS entries,
       iif(count(*) = 1000, max(key), NULL) AS next
  FROM page;
