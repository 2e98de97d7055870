-- One article with its body.
--
--   :slug  TEXT            a slug that the article has or had
--   :me    INTEGER | NULL  the caller's user id; NULL when anonymous
--
-- Returns the response body as JSON; no row when there is no such article.
-- The listings' shape, which leaves out the body, stands in sql/articles/list.sql.

SELECT json_object('article', json_object(
           'slug',           articles.slug,
           'title',          articles.title,
           'description',    articles.description,
           'body',           articles.body,
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
               ), 'true', 'false'))))) AS response
  FROM slugs
  JOIN visible_articles AS articles ON articles.id = slugs.article_id
  JOIN users ON users.id = articles.author_id
 WHERE slugs.slug = :slug;
