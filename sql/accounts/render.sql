-- Accounts as moderators see them: a page of them, or one.
--
--   :page     TEXT | NULL     a JSON array of ids, in the order in which they are shown; NULL for one account
--   :user_id  INTEGER | NULL  the one; NULL with a page
--
-- Returns the response body as JSON: {"users": […]}, or {"user": …} without a page.

WITH
shown AS (
    SELECT key AS position, value AS id
      FROM json_each(coalesce(:page, json_array(:user_id)))
),
in_order AS (
    SELECT json_object(
               'username',  users.username,
               'email',     users.email,
               'role',      users.role,
               -- SQLite has no booleans; JSON has.
               'suspended', json(iif(users.suspended_at IS NULL, 'false', 'true')),
               'createdAt', users.created_at
           ) AS account
      FROM shown
      -- CROSS JOIN keeps this order: the page leads, the rest is looked up.
     CROSS JOIN users ON users.id = shown.id
     ORDER BY shown.position
)
-- json() again: text that crossed a CTE is no longer known to be JSON.
SELECT iif(:page IS NULL,
           json_object('user', json(account)),
           json_object('users', json_group_array(json(account)))) AS response
  FROM in_order;
