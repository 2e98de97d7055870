-- Change what was sent of an article, and nothing else.
--
--   :slug     TEXT         a slug that the article has or had
--   :me       INTEGER      the caller's user id
--   :changes  TEXT         a JSON object with any of: title, description, body
--   :words    TEXT | NULL  the words of the new title as they stand in a slug; NULL without one
--   :now      TEXT         the time of the request

UPDATE articles
   SET title       = coalesce(:changes ->> 'title', title),
       description = coalesce(:changes ->> 'description', description),
       body        = coalesce(:changes ->> 'body', body),
       -- A slug ends in a hyphen and eight characters, which an article keeps for life:
       -- the same words make the same slug again.
       slug        = coalesce(:words || substr(slug, -9), slug),
       -- It grows with every update, even within a millisecond or when the clock goes back.
       updated_at  = max(:now, strftime('%Y-%m-%dT%H:%M:%fZ', updated_at, '+0.001 seconds'))
 WHERE author_id = :me
   AND id = (SELECT article_id FROM slugs WHERE slug = :slug);
