-- One page of the articles in which words are found, and how many there are: first those with all words in the title, then
-- those with all words in title and description, then the rest; in each group the newest first.
--
--   :words      TEXT         a query of FTS5, such as: "row"* "dawn"*
--   :tag        TEXT | NULL  only articles with this tag
--   :author     TEXT | NULL  only articles by this user (folded name)
--   :favorited  TEXT | NULL  only articles that this user (folded name) likes
--   :limit      INTEGER      how many articles a page has
--   :offset     INTEGER      how many articles to skip
--
-- Returns one row for sql/articles/list.sql: page (a JSON array of ids), total, next (always NULL:
-- such an order has no cursor). Of more than 10,000 matches the newest 10,000 count.

WITH
asked AS MATERIALIZED (
    SELECT (SELECT id FROM tags  WHERE name         = :tag)       AS tag_id,
           (SELECT id FROM users WHERE username_key = :author)    AS author_id,
           (SELECT id FROM users WHERE username_key = :favorited) AS fan_id
),
-- FTS5 walks its matches by rowid, backwards as well: the newest ones cost no sorting.
matching AS MATERIALIZED (
    SELECT rowid AS id
      FROM article_search
     WHERE article_search MATCH :words
       AND rowid NOT IN (SELECT id FROM hidden_articles)
       AND (:tag IS NULL OR EXISTS (
               SELECT 1 FROM article_tags
                WHERE tag_id = (SELECT tag_id FROM asked) AND article_id = article_search.rowid))
       AND (:author IS NULL OR EXISTS (
               SELECT 1 FROM articles
                WHERE id = article_search.rowid AND author_id = (SELECT author_id FROM asked)))
       AND (:favorited IS NULL OR EXISTS (
               SELECT 1 FROM favorites
                WHERE user_id = (SELECT fan_id FROM asked) AND article_id = article_search.rowid))
     ORDER BY rowid DESC
     LIMIT 10000
),
-- The same words in fewer columns, as far back as the oldest of the matches.
in_title AS MATERIALIZED (
    SELECT rowid AS id
      FROM article_search
     WHERE article_search MATCH 'title : (' || :words || ')'
       AND rowid >= (SELECT min(id) FROM matching)
),
in_title_or_description AS MATERIALIZED (
    SELECT rowid AS id
      FROM article_search
     WHERE article_search MATCH '{title description} : (' || :words || ')'
       AND rowid >= (SELECT min(id) FROM matching)
),
page AS MATERIALIZED (
    SELECT id
      FROM matching
     ORDER BY id NOT IN (SELECT id FROM in_title),
              id NOT IN (SELECT id FROM in_title_or_description),
              id DESC
     LIMIT :limit OFFSET :offset
)
SELECT (SELECT json_group_array(id) FROM page) AS page,
       (SELECT count(*) FROM matching)         AS total,
       NULL                                    AS next;
