-- The tags in use, most used first; of equally used ones the newest first. At most 1,000.
--
-- Returns the response body as JSON.

SELECT json_object('tags', json_group_array(name)) AS response
  FROM (SELECT name
          FROM tags
         WHERE articles_count > 0
         ORDER BY articles_count DESC, id DESC
         LIMIT 1000);
