-- The tags in use, most used first; of equally used ones the newest first. At most 1,000.
--
-- Returns the response body as JSON.

WITH
hidden AS MATERIALIZED (
    SELECT tag_id, articles_count FROM hidden_tags
),
-- While articles are hidden, some of the tags have other counts than those by which the index is sorted.
counted AS NOT MATERIALIZED (
    SELECT *
      FROM (SELECT id, name, articles_count
              FROM tags
             WHERE articles_count > 0
               AND id NOT IN (SELECT tag_id FROM hidden)
             ORDER BY articles_count DESC, id DESC
             LIMIT 1000)
     UNION ALL
    SELECT tags.id, tags.name, tags.articles_count - hidden.articles_count
      FROM hidden
     CROSS JOIN tags ON tags.id = hidden.tag_id
     WHERE tags.articles_count > hidden.articles_count
)
SELECT json_object('tags', json(CASE
           WHEN EXISTS (SELECT 1 FROM hidden_authors) THEN (
               SELECT json_group_array(name)
                 FROM (SELECT name FROM counted ORDER BY articles_count DESC, id DESC LIMIT 1000))
           ELSE (
               SELECT json_group_array(name)
                 FROM (SELECT name
                         FROM tags
                        WHERE articles_count > 0
                        ORDER BY articles_count DESC, id DESC
                        LIMIT 1000))
       END)) AS response;
