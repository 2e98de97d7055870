-- Some articles and comments of a closed account: those that are deleted, or moved to "deleted user", next.
--
--   :user_id          INTEGER  whose account
--   :content          TEXT     'delete' or 'keep'
--   :most             INTEGER  how many articles, and how many comments, at most
--   :most_characters  INTEGER  how many characters the articles have at most, and likewise the comments, unless a single
--                              text has more
--
-- Returns one row: articles and comments, two JSON arrays of ids.

WITH RECURSIVE
-- One article after another, the newest first: of long ones, few are read.
walk (number, id, characters) AS (
    SELECT 0, 9223372036854775807, 0
     UNION ALL
    SELECT walk.number + 1,
           articles.id,
           walk.characters + length(articles.title) + length(articles.description) + length(articles.body)
      FROM walk
     CROSS JOIN articles ON articles.id = (
               SELECT max(id) FROM articles WHERE author_id = :user_id AND id < walk.id)
     WHERE walk.number < :most
       AND walk.characters <= :most_characters
),
some_articles AS MATERIALIZED (
    SELECT id FROM walk WHERE number = 1 OR (number > 1 AND characters <= :most_characters)
),
-- An article that is deleted takes its comments along, so they go first.
some_comments AS MATERIALIZED (
    SELECT id
      FROM (SELECT id FROM comments WHERE author_id = :user_id LIMIT :most)
     UNION
    SELECT id
      FROM (SELECT comments.id
              FROM some_articles
             CROSS JOIN comments ON comments.article_id = some_articles.id
             WHERE :content = 'delete'
             LIMIT :most)
     LIMIT :most
),
measured AS (
    SELECT comments.id,
           row_number() OVER by_id               AS number,
           sum(length(comments.body)) OVER by_id AS characters
      FROM some_comments
     CROSS JOIN comments ON comments.id = some_comments.id
    WINDOW by_id AS (ORDER BY comments.id)
)
SELECT (SELECT json_group_array(id) FROM some_articles) AS articles,
       (SELECT json_group_array(id) FROM measured
         WHERE number = 1 OR characters <= :most_characters) AS comments;
