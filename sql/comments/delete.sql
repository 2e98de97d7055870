-- Delete a comment of the caller's, or for a moderator anybody's.
--
--   :slug  TEXT     a slug that the article has or had
--   :id    INTEGER  the comment's id
--   :me    INTEGER  the caller's user id

DELETE FROM comments
 WHERE id = :id
   AND article_id = (SELECT article_id FROM slugs WHERE slug = :slug)
   AND (author_id = :me
        OR EXISTS (SELECT 1 FROM users WHERE id = :me AND role IN ('moderator', 'admin')));
