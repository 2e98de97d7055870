-- The caller's comments, for the export: as many as fit on a page.
--
--   :me          INTEGER  the caller's user id
--   :after       TEXT     only comments above this id; '' for the first page
--   :most_bytes  INTEGER  how many bytes of JSON a page has at most, unless a single comment has more
--
-- Returns one row: entries (a JSON array) and next (after which the next page begins; NULL on the last page).

WITH RECURSIVE
-- One comment after another, until they are too many bytes; `bytes` are those of the comments before.
walk (number, id, comment, bytes) AS (
    SELECT 0, CAST(:after AS INTEGER), NULL, 0
     UNION ALL
    SELECT walk.number + 1,
           comments.id,
           json_object(
               'id',        comments.id,
               'article',   articles.slug,
               'body',      comments.body,
               'createdAt', comments.created_at
           ),
           walk.bytes + coalesce(length(CAST(walk.comment AS BLOB)) + 1, 0)
      FROM walk
     CROSS JOIN comments ON comments.id = (
               SELECT min(id)
                 FROM comments
                WHERE author_id = :me
                  AND id > walk.id
                  AND article_id NOT IN (SELECT id FROM hidden_articles))
     CROSS JOIN articles ON articles.id = comments.article_id
     WHERE walk.bytes + coalesce(length(CAST(walk.comment AS BLOB)), 0) <= :most_bytes
),
page AS MATERIALIZED (
    SELECT id, comment
      FROM walk
     WHERE number = 1
        OR (number > 1 AND bytes + length(CAST(comment AS BLOB)) <= :most_bytes)
)
-- json() again: text that crossed a CTE is no longer known to be JSON.
SELECT (SELECT json_group_array(json(comment)) FROM page) AS entries,
       (SELECT max(id) FROM page
         WHERE (SELECT max(bytes + length(CAST(comment AS BLOB))) FROM walk) > :most_bytes) AS next;
