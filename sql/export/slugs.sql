-- Every slug that the caller's articles have or had, for the export: 1,000 a page.
--
--   :me     INTEGER  the caller's user id
--   :after  TEXT     only slugs behind this one; '' for the first page
--
-- Returns one row: entries (a JSON array) and next (after which the next page begins; NULL on the last page).

WITH page AS (
    SELECT slugs.slug AS key,
           json_object(
               'slug',    slugs.slug,
               'article', articles.slug
           ) AS entry
      FROM articles
     CROSS JOIN slugs ON slugs.article_id = articles.id
     WHERE articles.author_id = :me
       AND slugs.slug > :after
     ORDER BY slugs.slug
     LIMIT 1000
)
-- json() again: text that crossed a CTE is no longer known to be JSON.
SELECT json_group_array(json(entry))        AS entries,
       iif(count(*) = 1000, max(key), NULL) AS next
  FROM page;
