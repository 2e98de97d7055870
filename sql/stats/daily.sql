-- What happened on each of the last days, today first, and how that compares with a week before.
--
--   :today  TEXT  the day of the request in UTC, 2026-01-31
--   :first  TEXT  the first day to show
--   :since  TEXT  13 days before it: the two weeks that the first day is compared over begin here
--
-- Returns the response body as JSON. Growth is that of the seven days up to a day over the seven before them:
-- 0.25 is a quarter more; NULL when nothing happened in those. What was deleted since is not counted.

WITH RECURSIVE
-- A row for each day, also for one on which nothing happened.
days AS (
    SELECT :since AS day
     UNION ALL
    SELECT strftime('%Y-%m-%d', day, '+1 day') FROM days WHERE day < :today
),
-- A time sorts behind its day, "2026-01-31" before "2026-01-31T12:00:00.000Z": the indexes are read from there.
registered AS (
    SELECT substr(created_at, 1, 10) AS day, count(*) AS registrations
      FROM users
     WHERE created_at >= :since
       AND role <> 'deleted'
     GROUP BY 1
),
written AS MATERIALIZED (
    SELECT substr(created_at, 1, 10) AS day, author_id, 1 AS is_article
      FROM visible_articles
     WHERE created_at >= :since
     UNION ALL
    SELECT substr(created_at, 1, 10), author_id, 0
      FROM comments
     WHERE created_at >= :since
       AND id NOT IN (SELECT id FROM hidden_comments)
),
published AS (
    SELECT day,
           sum(is_article)           AS articles,
           sum(NOT is_article)       AS comments,
           count(DISTINCT author_id) AS active_authors
      FROM written
     GROUP BY day
),
daily AS (
    SELECT days.day,
           coalesce(registered.registrations, 0) AS registrations,
           coalesce(published.articles, 0)       AS articles,
           coalesce(published.comments, 0)       AS comments,
           coalesce(published.active_authors, 0) AS active_authors
      FROM days
      LEFT JOIN registered ON registered.day = days.day
      LEFT JOIN published  ON published.day = days.day
),
-- Each day with the sums of the seven days that end with it. The window moves along the days; every day has a row,
-- so that seven rows are a week.
weekly AS (
    SELECT *,
           sum(registrations)  OVER week AS week_registrations,
           sum(articles)       OVER week AS week_articles,
           sum(comments)       OVER week AS week_comments
      FROM daily
    WINDOW week AS (ORDER BY day ROWS BETWEEN 6 PRECEDING AND CURRENT ROW)
),
-- … and with what these sums were seven rows, a week, earlier.
compared AS (
    SELECT *,
           lag(week_registrations, 7) OVER by_day AS registrations_before,
           lag(week_articles, 7)      OVER by_day AS articles_before,
           lag(week_comments, 7)      OVER by_day AS comments_before
      FROM weekly
    WINDOW by_day AS (ORDER BY day)
)
SELECT json_object('stats', json_group_array(json_object(
           'day',           day,
           'registrations', registrations,
           'articles',      articles,
           'comments',      comments,
           'activeAuthors', active_authors,
           -- nullif: SQLite divides by NULL what cannot be divided by 0, and the answer is NULL.
           'growth', json_object(
               'registrations', round(1.0 * week_registrations / nullif(registrations_before, 0) - 1, 3),
               'articles',      round(1.0 * week_articles      / nullif(articles_before, 0)      - 1, 3),
               'comments',      round(1.0 * week_comments      / nullif(comments_before, 0)      - 1, 3))
       ))) AS response
  FROM (SELECT * FROM compared WHERE day >= :first ORDER BY day DESC);
