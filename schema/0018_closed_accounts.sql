-- Deleting an account closes it in one short transaction: its row in `users` is anonymized, and gets a row here, which
-- hides what else there is. A background job (cleanup.py) removes that in small transactions, and the account at last.

CREATE TABLE closed_accounts (
    user_id  INTEGER PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE
) STRICT;

-- What is hidden until then. Whatever reads for a response goes by these views. `visible_…` is for rows that are looked
-- up or listed; `hidden_…` for what a kept counter includes, and to skip many rows. Mostly there are none.

-- A closed account cannot be found by name or email: it has others by then.
CREATE VIEW visible_users AS
SELECT *
  FROM users
 WHERE id NOT IN (SELECT user_id FROM closed_accounts);

CREATE VIEW visible_sessions AS
SELECT *
  FROM sessions
 WHERE user_id NOT IN (SELECT user_id FROM closed_accounts);

CREATE VIEW visible_follows AS
SELECT *
  FROM follows
 WHERE followed_id NOT IN (SELECT user_id FROM closed_accounts);

-- Articles and comments. Those that are to be kept stay visible, as by "deleted user".

CREATE TABLE hidden_authors (
    user_id  INTEGER PRIMARY KEY REFERENCES closed_accounts (user_id) ON DELETE CASCADE
) STRICT;

CREATE VIEW hidden_articles AS
SELECT id
  FROM articles INDEXED BY articles_author_id_idx
 WHERE author_id IN (SELECT user_id FROM hidden_authors);

CREATE VIEW hidden_comments AS
SELECT id
  FROM comments INDEXED BY comments_author_id_idx
 WHERE author_id IN (SELECT user_id FROM hidden_authors)
 UNION ALL
SELECT id
  FROM comments INDEXED BY comments_article_id_idx
 WHERE article_id IN (SELECT id FROM hidden_articles);

CREATE VIEW hidden_tags AS
SELECT article_tags.tag_id,
       count(*) AS articles_count
  FROM hidden_articles
 CROSS JOIN article_tags ON article_tags.article_id = hidden_articles.id
 GROUP BY article_tags.tag_id;

CREATE VIEW visible_articles AS
SELECT *,
       favorites_count - iif(EXISTS (SELECT 1 FROM closed_accounts), (
           SELECT count(*)
             FROM closed_accounts
            WHERE EXISTS (
                      SELECT 1 FROM favorites
                       WHERE user_id = closed_accounts.user_id AND article_id = articles.id)), 0)
       AS visible_favorites_count
  FROM articles
 WHERE author_id NOT IN (SELECT user_id FROM hidden_authors);

-- Those of a visible article.
CREATE VIEW visible_comments AS
SELECT *
  FROM comments
 WHERE author_id NOT IN (SELECT user_id FROM hidden_authors);
