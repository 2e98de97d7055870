-- One page of the articles that pass one or more filters, newest first, and how many do.
--
--   :tag        TEXT | NULL  only articles with this tag
--   :author     TEXT | NULL  only articles by this user (folded name)
--   :favorited  TEXT | NULL  only articles that this user (folded name) likes
--   :before     INTEGER      only ids below this one (a cursor); the greatest integer for all
--   :limit      INTEGER      how many articles a page has
--   :offset     INTEGER      how many articles to skip
--
-- Returns one row for sql/articles/list.sql: page (a JSON array of ids), total (of the whole
-- listing), next (the id before which the next page begins; NULL on the last page).
-- Without a filter, sql/articles/newest.sql finds the page.

WITH
-- What was asked for, as ids, and how many articles each filter lets through (kept counters, without what is hidden).
-- Nobody can ask for a closed account: its name has changed.
asked AS MATERIALIZED (
    SELECT tags.id   AS tag_id,
           author.id AS author_id,
           fan.id    AS fan_id,
           iif(:tag       IS NULL, NULL, coalesce(tags.articles_count, 0)
               - (SELECT count(*)
                    FROM hidden_articles
                   WHERE EXISTS (
                             SELECT 1 FROM article_tags
                              WHERE tag_id = tags.id AND article_id = hidden_articles.id))) AS tagged,
           iif(:author    IS NULL, NULL, coalesce(author.articles_count, 0)) AS written,
           iif(:favorited IS NULL, NULL, coalesce(fan.favorites_count, 0)
               - (SELECT count(*)
                    FROM hidden_articles
                   WHERE EXISTS (
                             SELECT 1 FROM favorites
                              WHERE user_id = fan.id AND article_id = hidden_articles.id))) AS liked,
           (:tag IS NOT NULL) + (:author IS NOT NULL) + (:favorited IS NOT NULL) AS filters
      FROM (SELECT 1)
      LEFT JOIN tags            ON tags.name = :tag
      LEFT JOIN users AS author ON author.username_key = :author
      LEFT JOIN users AS fan    ON fan.username_key = :favorited
),
-- The smallest set is walked; the other filters are looked up for each of its articles.
walked AS MATERIALIZED (
    SELECT *
      FROM (SELECT 'tag' AS name, tagged AS size FROM asked WHERE tagged IS NOT NULL
             UNION ALL
            SELECT 'author', written FROM asked WHERE written IS NOT NULL
             UNION ALL
            SELECT 'favorited', liked FROM asked WHERE liked IS NOT NULL)
     ORDER BY size
     LIMIT 1
),
-- One arm for each set. The key of an arm that is not walked is NULL, and finds nothing at once.
matching AS NOT MATERIALIZED (
    SELECT article_id AS id
      FROM article_tags
     WHERE tag_id = (SELECT tag_id FROM asked, walked WHERE name = 'tag')
       AND article_id NOT IN (SELECT id FROM hidden_articles)
       AND (:author IS NULL OR EXISTS (
               SELECT 1 FROM articles
                WHERE id = article_tags.article_id AND author_id = (SELECT author_id FROM asked)))
       AND (:favorited IS NULL OR EXISTS (
               SELECT 1 FROM favorites
                WHERE user_id = (SELECT fan_id FROM asked) AND article_id = article_tags.article_id))
     UNION ALL
    SELECT id
      FROM articles
     WHERE author_id = (SELECT author_id FROM asked, walked WHERE name = 'author')
       AND (:tag IS NULL OR EXISTS (
               SELECT 1 FROM article_tags
                WHERE tag_id = (SELECT tag_id FROM asked) AND article_id = articles.id))
       AND (:favorited IS NULL OR EXISTS (
               SELECT 1 FROM favorites
                WHERE user_id = (SELECT fan_id FROM asked) AND article_id = articles.id))
     UNION ALL
    SELECT article_id
      FROM favorites
     WHERE user_id = (SELECT fan_id FROM asked, walked WHERE name = 'favorited')
       AND article_id NOT IN (SELECT id FROM hidden_articles)
       AND (:author IS NULL OR EXISTS (
               SELECT 1 FROM articles
                WHERE id = favorites.article_id AND author_id = (SELECT author_id FROM asked)))
       AND (:tag IS NULL OR EXISTS (
               SELECT 1 FROM article_tags
                WHERE tag_id = (SELECT tag_id FROM asked) AND article_id = favorites.article_id))
),
-- One more than was asked for tells whether there is a next page.
page_and_one AS MATERIALIZED (
    SELECT id FROM matching WHERE id < :before ORDER BY id DESC LIMIT :limit + 1 OFFSET :offset
),
page AS MATERIALIZED (
    SELECT id FROM page_and_one ORDER BY id DESC LIMIT :limit
)
SELECT (SELECT json_group_array(id) FROM page) AS page,
       -- One filter: the counter is the answer. More: count the intersection.
       iif(filters = 1, walked.size, (SELECT count(*) FROM matching)) AS total,
       (SELECT min(id) FROM page
         WHERE (SELECT count(*) FROM page_and_one) > :limit) AS next
  FROM asked, walked;
