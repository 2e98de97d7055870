-- Whose comment it is.
--
--   :id  INTEGER  the comment's id
--
-- Returns object_id (the same id) and user_id (its author's), for sql/audit/note.sql; no row when there is none.

SELECT id        AS object_id,
       author_id AS user_id
  FROM visible_comments
 WHERE id = :id;
