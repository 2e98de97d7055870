-- Delete an article. Its slugs, tags, favorites and comments go with it (ON DELETE CASCADE).
--
--   :slug  TEXT     a slug that the article has or had
--   :me    INTEGER  the caller's user id

DELETE FROM articles
 WHERE author_id = :me
   AND id = (SELECT article_id FROM slugs WHERE slug = :slug);
