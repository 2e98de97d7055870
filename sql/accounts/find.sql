-- One page of the accounts, newest first.
--
--   :q       TEXT | NULL  only those whose username or email begins with this (folded); NULL for any
--   :role    TEXT | NULL  only those with this role; NULL for any
--   :before  INTEGER      only ids below this one (a cursor); the greatest integer for all
--   :limit   INTEGER      how many accounts a page has
--
-- Returns one row for sql/accounts/render.sql: page (a JSON array of ids) and next (the id before which
-- the next page begins; NULL on the last page). With :q it costs what begins so, else what it shows.

WITH
-- A name begins with :q when it lies between it and what follows all such names: no text sorts after U+10FFFF.
beginning AS (
    SELECT id FROM users WHERE username_key >= :q AND username_key < :q || char(1114111)
     UNION
    SELECT id FROM users WHERE email_key    >= :q AND email_key    < :q || char(1114111)
),
-- One arm for each question; the others find nothing at once. One more than was asked for tells whether there is a
-- next page.
page_and_one AS MATERIALIZED (
    SELECT id
      FROM (SELECT id
              -- By its key: an index on other columns is smaller, but would have to be read whole, and sorted.
              FROM users NOT INDEXED
             WHERE :q IS NULL
               AND :role IS NULL
               AND role <> 'deleted'
               AND id < :before
             ORDER BY id DESC
             LIMIT :limit + 1)
     UNION ALL
    SELECT id
      FROM (SELECT id
              FROM users INDEXED BY users_role_idx
             WHERE :q IS NULL
               AND role = :role
               AND id < :before
             ORDER BY id DESC
             LIMIT :limit + 1)
     UNION ALL
    SELECT id
      FROM (SELECT users.id
              FROM beginning
             CROSS JOIN users ON users.id = beginning.id
             WHERE users.role <> 'deleted'
               AND (:role IS NULL OR users.role = :role)
               AND users.id < :before
             ORDER BY users.id DESC
             LIMIT :limit + 1)
),
page AS MATERIALIZED (
    SELECT id FROM page_and_one ORDER BY id DESC LIMIT :limit
)
SELECT (SELECT json_group_array(id) FROM page) AS page,
       (SELECT min(id) FROM page
         WHERE (SELECT count(*) FROM page_and_one) > :limit) AS next;
