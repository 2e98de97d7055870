-- A user as others see them.
--
--   :username_key  TEXT            the folded username
--   :me            INTEGER | NULL  the caller's user id; NULL when anonymous
--
-- Returns the response body as JSON; no row when there is no such user.

SELECT json_object('profile', json_object(
           'username',  username,
           'bio',       bio,
           'image',     image,
           -- SQLite has no booleans; JSON has.
           'following', json(iif(EXISTS (
               SELECT 1
                 FROM visible_follows
                WHERE follower_id = :me
                  AND followed_id = users.id
           ), 'true', 'false')))) AS response
  FROM users
 WHERE username_key = :username_key;
