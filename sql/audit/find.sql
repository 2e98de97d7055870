-- One page of the audit log, newest first.
--
--   :actor   TEXT | NULL  only what this user (folded name) did; NULL for everything
--   :before  INTEGER      only ids below this one (a cursor); the greatest integer for all
--   :limit   INTEGER      how many entries a page has
--
-- Returns one row for sql/audit/render.sql: page (a JSON array of ids) and next (the id before which the
-- next page begins; NULL on the last page). What a user who has left did has no name to ask for.

WITH
-- One arm for each question; the other finds nothing at once. One more than was asked for tells whether there is a
-- next page.
page_and_one AS MATERIALIZED (
    SELECT id
      FROM (SELECT id
              -- By its key: an index on other columns is smaller, but would have to be read whole, and sorted.
              FROM audit NOT INDEXED
             WHERE :actor IS NULL
               AND id < :before
             ORDER BY id DESC
             LIMIT :limit + 1)
     UNION ALL
    SELECT id
      FROM (SELECT id
              FROM audit
             WHERE actor_id = (SELECT id FROM users WHERE username_key = :actor)
               AND id < :before
             ORDER BY id DESC
             LIMIT :limit + 1)
),
page AS MATERIALIZED (
    SELECT id FROM page_and_one ORDER BY id DESC LIMIT :limit
)
SELECT (SELECT json_group_array(id) FROM page) AS page,
       (SELECT min(id) FROM page
         WHERE (SELECT count(*) FROM page_and_one) > :limit) AS next;
