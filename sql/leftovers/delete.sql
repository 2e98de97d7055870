-- Delete some texts of a closed account, and some of what hangs on them. An article goes last.
--
--   :articles  TEXT     a JSON array of ids of its articles
--   :comments  TEXT     a JSON array of ids of comments, its own ones and those under these articles
--   :most      INTEGER  how many rows of each other kind at most

DELETE FROM comments
 WHERE id IN (SELECT value FROM json_each(:comments));

DELETE FROM favorites
 WHERE (user_id, article_id) IN (
           SELECT favorites.user_id, favorites.article_id
             FROM json_each(:articles) AS next_articles
            CROSS JOIN favorites ON favorites.article_id = next_articles.value
            LIMIT :most);

DELETE FROM slugs
 WHERE slug IN (
           SELECT slugs.slug
             FROM json_each(:articles) AS next_articles
            CROSS JOIN slugs ON slugs.article_id = next_articles.value
            LIMIT :most);

DELETE FROM article_tags
 WHERE (tag_id, article_id) IN (
           SELECT article_tags.tag_id, article_tags.article_id
             FROM json_each(:articles) AS next_articles
            CROSS JOIN article_tags ON article_tags.article_id = next_articles.value
            LIMIT :most);

DELETE FROM articles
 WHERE id IN (SELECT value FROM json_each(:articles))
   AND NOT EXISTS (SELECT 1 FROM comments     WHERE article_id = articles.id)
   AND NOT EXISTS (SELECT 1 FROM favorites    WHERE article_id = articles.id)
   AND NOT EXISTS (SELECT 1 FROM slugs        WHERE article_id = articles.id)
   AND NOT EXISTS (SELECT 1 FROM article_tags WHERE article_id = articles.id);
