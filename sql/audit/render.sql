-- A page of the audit log.
--
--   :page  TEXT  a JSON array of ids, in the order in which they are shown
--
-- Returns the response body as JSON. The log holds ids; the names are those of today, NULL of those who have left.

SELECT json_object('audit', json_group_array(json_object(
           'id',        audit.id,
           'createdAt', audit.created_at,
           'action',    audit.action,
           'actor',     iif(audit.actor_id IS NULL, NULL,
                            json_object('id', audit.actor_id, 'username', actor.username)),
           'user',      iif(audit.user_id IS NULL, NULL,
                            json_object('id', audit.user_id, 'username', users.username)),
           'objectId',  audit.object_id,
           'requestId', audit.request_id))) AS response
  FROM json_each(:page) AS page
  -- CROSS JOIN keeps this order: the page leads, the rest is looked up.
 CROSS JOIN audit ON audit.id = page.value
  LEFT JOIN visible_users AS actor ON actor.id = audit.actor_id
  LEFT JOIN visible_users AS users ON users.id = audit.user_id;
