-- One page of the articles of those whom the caller follows, newest first.
--
--   :me      INTEGER  the caller's user id
--   :before  INTEGER  only ids below this one (a cursor); the greatest integer for all
--   :limit   INTEGER  how many articles a page has
--   :offset  INTEGER  how many articles to skip
--
-- Returns one row for sql/articles/list.sql: page (a JSON array of ids), total (of the whole
-- feed), next (the id before which the next page begins; NULL on the last page).

WITH
-- One more than was asked for tells whether there is a next page.
page_and_one AS MATERIALIZED (
    SELECT id
      -- Each author's articles are read from the newest. Without a word SQLite may walk those
      -- of everybody instead (after ANALYZE it does): all of them, when these authors write seldom.
      FROM articles INDEXED BY articles_author_id_idx
     WHERE author_id IN (SELECT followed_id FROM visible_follows WHERE follower_id = :me)
       AND id < :before
     ORDER BY id DESC
     LIMIT :limit + 1 OFFSET :offset
),
page AS MATERIALIZED (
    SELECT id FROM page_and_one ORDER BY id DESC LIMIT :limit
)
SELECT (SELECT json_group_array(id) FROM page) AS page,
       -- Each author's counter is kept by triggers: nothing is counted here.
       (SELECT coalesce(sum(users.articles_count), 0)
          FROM visible_follows AS follows
          JOIN users ON users.id = follows.followed_id
         WHERE follows.follower_id = :me) AS total,
       (SELECT min(id) FROM page
         WHERE (SELECT count(*) FROM page_and_one) > :limit) AS next;
