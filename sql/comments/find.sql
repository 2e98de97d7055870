-- One page of an article's comments, newest first.
--
--   :slug    TEXT     a slug that the article has or had
--   :before  INTEGER  only ids below this one (a cursor); the greatest integer for all
--   :limit   INTEGER  how many comments a page has
--
-- Returns one row for sql/comments/render.sql: page (a JSON array of ids) and next (the id
-- before which the next page begins; NULL on the last page). No row when there is no such article.

WITH
-- One more than was asked for tells whether there is a next page.
page_and_one AS MATERIALIZED (
    SELECT id
      FROM comments
     WHERE article_id = (SELECT article_id FROM slugs WHERE slug = :slug)
       AND id < :before
     ORDER BY id DESC
     LIMIT :limit + 1
),
page AS MATERIALIZED (
    SELECT id FROM page_and_one ORDER BY id DESC LIMIT :limit
)
SELECT (SELECT json_group_array(id) FROM page) AS page,
       (SELECT min(id) FROM page
         WHERE (SELECT count(*) FROM page_and_one) > :limit) AS next
  FROM slugs
 WHERE slug = :slug;
