-- One page of all articles, newest first, and how many there are.
--
--   :before  INTEGER  only ids below this one (a cursor); the greatest integer for all
--   :limit   INTEGER  how many articles a page has
--   :offset  INTEGER  how many articles to skip
--
-- Returns one row for sql/articles/list.sql: page (a JSON array of ids), total (of the whole
-- listing), next (the id before which the next page begins; NULL on the last page).

WITH
-- One more than was asked for tells whether there is a next page.
page_and_one AS MATERIALIZED (
    SELECT id
      FROM visible_articles
     WHERE id < :before
     ORDER BY id DESC
     LIMIT :limit + 1 OFFSET :offset
),
page AS MATERIALIZED (
    SELECT id FROM page_and_one LIMIT :limit
)
SELECT (SELECT json_group_array(id) FROM page) AS page,
       total - (SELECT coalesce(sum(users.articles_count), 0)
                  FROM hidden_authors
                 CROSS JOIN users ON users.id = hidden_authors.user_id) AS total,
       (SELECT min(id) FROM page
         WHERE (SELECT count(*) FROM page_and_one) > :limit) AS next
  FROM totals
 WHERE name = 'articles';
