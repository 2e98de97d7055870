-- Comments as readers see them: a page of them, or the one that was just written.
--
--   :page  TEXT | NULL     a JSON array of ids, in the order in which they are shown;
--                          NULL for the caller's newest comment alone
--   :me    INTEGER | NULL  the caller's user id; NULL when anonymous
--
-- Returns the response body as JSON: {"comments": […]}, or {"comment": …} without a page.

WITH
shown AS (
    SELECT key AS position, value AS id
      FROM json_each(:page) -- of NULL it makes no rows
     UNION ALL
    SELECT 0, max(id)
      FROM comments
     WHERE author_id = :me
       AND :page IS NULL
),
in_order AS (
    SELECT json_object(
               'id',        comments.id,
               'createdAt', comments.created_at,
               'updatedAt', comments.created_at, -- a comment is never edited
               'body',      comments.body,
               'author', json_object(
                   'username',  users.username,
                   'bio',       users.bio,
                   'image',     users.image,
                   -- SQLite has no booleans; JSON has.
                   'following', json(iif(EXISTS (
                       SELECT 1
                         FROM visible_follows
                        WHERE follower_id = :me
                          AND followed_id = users.id
                   ), 'true', 'false')))
           ) AS comment
      FROM shown
      -- CROSS JOIN keeps this order: the page leads, the rest is looked up.
     CROSS JOIN comments ON comments.id = shown.id
     CROSS JOIN users    ON users.id = comments.author_id
     ORDER BY shown.position
)
-- json() again: text that crossed a CTE is no longer known to be JSON.
SELECT iif(:page IS NULL,
           json_object('comment', json(comment)),
           json_object('comments', json_group_array(json(comment)))) AS response
  FROM in_order;
