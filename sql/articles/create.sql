-- Publish an article. Its tags come from sql/articles/set_tags.sql, in the same transaction.
--
--   :me           INTEGER  the caller's user id
--   :slug         TEXT     the words of the title, a hyphen and eight characters of chance
--   :title        TEXT
--   :description  TEXT
--   :body         TEXT
--   :now          TEXT     the time of the request

INSERT INTO articles (
    author_id, slug, title, description, body, created_at, updated_at
)
VALUES (
    :me, :slug, :title, :description, :body, :now, :now
);
