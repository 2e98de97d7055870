-- Take an article off the caller's favorites. Doing it twice changes nothing.
--
--   :slug  TEXT     a slug that the article has or had
--   :me    INTEGER  the caller's user id

DELETE FROM favorites
 WHERE user_id = :me
   AND article_id = (SELECT article_id FROM slugs WHERE slug = :slug);
