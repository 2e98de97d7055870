-- Set every kept counter to what a recount says. It reads whole tables, so it is for `check --repair` alone.

UPDATE totals
   SET total = (SELECT count(*) FROM articles)
 WHERE name = 'articles';

UPDATE users
   SET articles_count  = (SELECT count(*) FROM articles  WHERE author_id = users.id),
       favorites_count = (SELECT count(*) FROM favorites WHERE user_id   = users.id);

UPDATE articles
   SET favorites_count = (SELECT count(*) FROM favorites WHERE article_id = articles.id);

UPDATE tags
   SET articles_count = (SELECT count(*) FROM article_tags WHERE tag_id = tags.id);
