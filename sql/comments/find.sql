-- One page of an article's comments, newest first.
--
--   :slug        TEXT     a slug that the article has or had
--   :before      INTEGER  only ids below this one (a cursor); the greatest integer for all
--   :limit       INTEGER  how many comments a page has at most
--   :most_bytes  INTEGER  how many bytes of JSON a page has at most, unless a single comment has more
--
-- Returns one row for sql/comments/render.sql: page (a JSON array of ids) and next (the id
-- before which the next page begins; NULL on the last page). No row when there is no such article.

WITH RECURSIVE
-- The page and the comment behind it, one after another: a page of long comments ends before many of them are read.
-- `bytes` are those of the comments so far. Keys, id, times and `following` take less than 200 of each.
walk (number, id, bytes) AS (
    SELECT 0, :before, 0
     UNION ALL
    SELECT walk.number + 1,
           comments.id,
           walk.bytes + 200 + length(CAST(
               json_array(comments.body, users.username, users.bio, users.image) AS BLOB))
      FROM walk
     CROSS JOIN comments ON comments.id = (
               SELECT max(id)
                 FROM visible_comments
                WHERE article_id = (SELECT article_id FROM slugs WHERE slug = :slug)
                  AND id < walk.id)
     CROSS JOIN users ON users.id = comments.author_id
     WHERE walk.number <= :limit
       AND (walk.number <= 1 OR walk.bytes <= :most_bytes)
),
page AS MATERIALIZED (
    SELECT number, id
      FROM walk
     WHERE number BETWEEN 1 AND :limit
       AND (number = 1 OR bytes <= :most_bytes)
)
SELECT (SELECT json_group_array(id) FROM page) AS page,
       (SELECT min(id) FROM page
         WHERE (SELECT max(number) FROM walk) > (SELECT max(number) FROM page)) AS next
  FROM slugs
  JOIN visible_articles AS articles ON articles.id = slugs.article_id
 WHERE slugs.slug = :slug;
