-- Delete an article of the caller's, or for a moderator anybody's. Its slugs, tags, favorites and comments go
-- with it (ON DELETE CASCADE).
--
--   :slug  TEXT     a slug that the article has or had
--   :me    INTEGER  the caller's user id

DELETE FROM articles
 WHERE id = (SELECT article_id FROM slugs WHERE slug = :slug)
   AND (author_id = :me
        OR EXISTS (SELECT 1 FROM users WHERE id = :me AND role IN ('moderator', 'admin')));
