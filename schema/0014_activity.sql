-- What happened on which day. These indexes hold all that is read for that: no text is touched.

-- For sql/stats/daily.sql.
CREATE INDEX users_created_at_idx ON users (created_at, role);
-- For sql/stats/daily.sql.
CREATE INDEX articles_created_at_idx ON articles (created_at, author_id);
-- For sql/stats/daily.sql.
CREATE INDEX comments_created_at_idx ON comments (created_at, author_id);
