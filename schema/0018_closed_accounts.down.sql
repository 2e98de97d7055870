-- Finishes first what the background job has not: it removes what closed accounts have left, in one transaction. Where
-- that is much, wait until the server has done it: `SELECT count(*) FROM closed_accounts` is 0 then.

UPDATE articles
   SET author_id = (SELECT id FROM visible_users WHERE role = 'deleted')
 WHERE author_id IN (SELECT user_id FROM closed_accounts)
   AND author_id NOT IN (SELECT user_id FROM hidden_authors);

UPDATE comments
   SET author_id = (SELECT id FROM visible_users WHERE role = 'deleted')
 WHERE author_id IN (SELECT user_id FROM closed_accounts)
   AND author_id NOT IN (SELECT user_id FROM hidden_authors);

DELETE FROM comments
 WHERE id IN (SELECT id FROM hidden_comments);

DELETE FROM favorites
 WHERE user_id IN (SELECT user_id FROM closed_accounts)
    OR article_id IN (SELECT id FROM hidden_articles);

DELETE FROM article_tags
 WHERE article_id IN (SELECT id FROM hidden_articles);

DELETE FROM slugs
 WHERE article_id IN (SELECT id FROM hidden_articles);

DELETE FROM articles
 WHERE id IN (SELECT id FROM hidden_articles);

DELETE FROM follows
 WHERE follower_id IN (SELECT user_id FROM closed_accounts)
    OR followed_id IN (SELECT user_id FROM closed_accounts);

DELETE FROM sessions
 WHERE user_id IN (SELECT user_id FROM closed_accounts);

DELETE FROM login_addresses
 WHERE user_id IN (SELECT user_id FROM closed_accounts);

DELETE FROM password_resets
 WHERE user_id IN (SELECT user_id FROM closed_accounts);

DELETE FROM users
 WHERE id IN (SELECT user_id FROM closed_accounts);

DROP VIEW visible_comments;
DROP VIEW visible_articles;
DROP VIEW hidden_tags;
DROP VIEW hidden_comments;
DROP VIEW hidden_articles;
DROP TABLE hidden_authors;
DROP VIEW visible_follows;
DROP VIEW visible_sessions;
DROP VIEW visible_users;
DROP TABLE closed_accounts;
