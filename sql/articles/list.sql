-- A page of articles without their bodies: every listing is rendered here.
--
--   :page        TEXT            a JSON array of ids, in the order in which they are shown
--   :total       INTEGER         how many articles the whole listing has
--   :me          INTEGER | NULL  the caller's user id; NULL when anonymous
--   :most_bytes  INTEGER         how many bytes of JSON the page has at most, unless a single article has more
--
-- Returns the response body as JSON, and shown: how many articles of the page are in it, the first ones. The page is
-- found by newest.sql, find.sql or feed.sql beside this file; the shape with the body stands in sql/articles/render.sql.

WITH
-- Up to which byte each article of the page reaches. Whatever is not measured takes less than 300 bytes, and a tag
-- less than 400.
measured AS (
    SELECT listed.key   AS position,
           listed.value AS id,
           sum(300
               + 400 * (SELECT count(*) FROM article_tags WHERE article_id = articles.id)
               + length(CAST(json_array(
                   articles.title, articles.description, users.username, users.bio, users.image) AS BLOB)))
               OVER (ROWS UNBOUNDED PRECEDING) AS bytes
      FROM json_each(:page) AS listed
     CROSS JOIN articles ON articles.id = listed.value
     CROSS JOIN users    ON users.id = articles.author_id
),
page AS MATERIALIZED (
    SELECT position, id FROM measured WHERE position = 0 OR bytes <= :most_bytes
)
SELECT json_object(
           'articles', json_group_array(json_object(
               'slug',           articles.slug,
               'title',          articles.title,
               'description',    articles.description,
               'tagList', (
                   SELECT json_group_array(name)
                     FROM (SELECT tags.name
                             FROM article_tags
                             JOIN tags ON tags.id = article_tags.tag_id
                            WHERE article_tags.article_id = articles.id
                            ORDER BY article_tags.position)),
               'createdAt',      articles.created_at,
               'updatedAt',      articles.updated_at,
               -- SQLite has no booleans; JSON has.
               'favorited', json(iif(EXISTS (
                   SELECT 1
                     FROM favorites
                    WHERE user_id = :me
                      AND article_id = articles.id
               ), 'true', 'false')),
               'favoritesCount', articles.visible_favorites_count,
               'author', json_object(
                   'username',  users.username,
                   'bio',       users.bio,
                   'image',     users.image,
                   'following', json(iif(EXISTS (
                       SELECT 1
                         FROM visible_follows
                        WHERE follower_id = :me
                          AND followed_id = users.id
                   ), 'true', 'false')))
           )),
           'articlesCount', :total) AS response,
       count(*) AS shown
  FROM page
  -- SQLite aggregates rows in the order in which it meets them, and CROSS JOIN keeps it from reordering:
  -- the page leads, and the rest is looked up for each of its ids.
 CROSS JOIN visible_articles AS articles ON articles.id = page.id
 CROSS JOIN users                        ON users.id = articles.author_id;
