-- The entries of the audit log about the caller, for the export: 1,000 a page. Other people are there by their id.
--
--   :me     INTEGER  the caller's user id
--   :after  TEXT     only entries above this id; '' for the first page
--
-- Returns one row: entries (a JSON array) and next (after which the next page begins; NULL on the last page).

WITH
-- One arm for each index: what the caller did, and what others did with the caller's account or texts.
found AS (
    SELECT id
      FROM (SELECT id
              FROM audit INDEXED BY audit_actor_id_idx
             WHERE actor_id = :me
               AND id > CAST(:after AS INTEGER)
             ORDER BY id
             LIMIT 1000)
     UNION
    SELECT id
      FROM (SELECT id
              FROM audit INDEXED BY audit_user_id_idx
             WHERE user_id = :me
               AND id > CAST(:after AS INTEGER)
             ORDER BY id
             LIMIT 1000)
),
page AS (
    SELECT audit.id AS key,
           json_object(
               'id',        audit.id,
               'createdAt', audit.created_at,
               'action',    audit.action,
               'actorId',   audit.actor_id,
               'userId',    audit.user_id,
               'objectId',  audit.object_id,
               'requestId', audit.request_id
           ) AS entry
      FROM found
     CROSS JOIN audit ON audit.id = found.id
     ORDER BY audit.id
     LIMIT 1000
)
-- json() again: text that crossed a CTE is no longer known to be JSON.
SELECT json_group_array(json(entry))        AS entries,
       iif(count(*) = 1000, max(key), NULL) AS next
  FROM page;
