-- The caller's articles, for the export: as many as fit on a page. sql/export/slugs.sql has their former slugs.
--
--   :me          INTEGER  the caller's user id
--   :after       TEXT     only articles above this id; '' for the first page
--   :most_bytes  INTEGER  how many bytes of JSON a page has at most, unless a single article has more
--
-- Returns one row: entries (a JSON array) and next (after which the next page begins; NULL on the last page).

WITH RECURSIVE
-- One article after another, until they are too many bytes; `bytes` are those of the articles before.
walk (number, id, article, bytes) AS (
    SELECT 0, CAST(:after AS INTEGER), NULL, 0
     UNION ALL
    SELECT walk.number + 1,
           articles.id,
           json_object(
               'slug',           articles.slug,
               'title',          articles.title,
               'description',    articles.description,
               'body',           articles.body,
               'tagList',        (
                   SELECT json_group_array(name)
                     FROM (SELECT tags.name
                             FROM article_tags
                             JOIN tags ON tags.id = article_tags.tag_id
                            WHERE article_tags.article_id = articles.id
                            ORDER BY article_tags.position)),
               'favoritesCount', (SELECT visible_favorites_count FROM visible_articles WHERE id = articles.id),
               'createdAt',      articles.created_at,
               'updatedAt',      articles.updated_at
           ),
           walk.bytes + coalesce(length(CAST(walk.article AS BLOB)) + 1, 0)
      FROM walk
     CROSS JOIN articles ON articles.id = (
               SELECT min(id) FROM articles WHERE author_id = :me AND id > walk.id)
     WHERE walk.bytes + coalesce(length(CAST(walk.article AS BLOB)), 0) <= :most_bytes
),
page AS MATERIALIZED (
    SELECT id, article
      FROM walk
     WHERE number = 1
        OR (number > 1 AND bytes + length(CAST(article AS BLOB)) <= :most_bytes)
)
-- json() again: text that crossed a CTE is no longer known to be JSON.
SELECT (SELECT json_group_array(json(article)) FROM page) AS entries,
       (SELECT max(id) FROM page
         WHERE (SELECT max(bytes + length(CAST(article AS BLOB))) FROM walk) > :most_bytes) AS next;
