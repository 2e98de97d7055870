-- Delete a comment.
--
--   :slug  TEXT     a slug that the article has or had
--   :id    INTEGER  the comment's id
--   :me    INTEGER  the caller's user id

DELETE FROM comments
 WHERE id = :id
   AND author_id = :me
   AND article_id = (SELECT article_id FROM slugs WHERE slug = :slug);
