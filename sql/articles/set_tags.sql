-- Give an article exactly these tags, in this order.
--
--   :slug  TEXT         a slug that the article has or had
--   :me    INTEGER      the caller's user id: nobody tags the article of somebody else
--   :tags  TEXT | NULL  a JSON array of names, none twice; NULL leaves the tags as they are

INSERT INTO tags (name)
SELECT value
  FROM json_each(:tags) -- of NULL it makes no rows
 WHERE true             -- else SQLite takes ON CONFLICT for a join's ON
    ON CONFLICT DO NOTHING;

DELETE FROM article_tags
 WHERE :tags IS NOT NULL
   AND article_id = (
           SELECT articles.id
             FROM slugs
             -- The index has all that is asked. Without a word SQLite takes now it, now the primary key.
             JOIN articles INDEXED BY articles_author_id_idx ON articles.id = slugs.article_id
            WHERE slugs.slug = :slug
              AND articles.author_id = :me);

INSERT INTO article_tags (article_id, position, tag_id)
SELECT articles.id, sent.key, tags.id
  FROM slugs
  JOIN articles INDEXED BY articles_author_id_idx ON articles.id = slugs.article_id
  -- CROSS JOIN keeps this order: the names lead, each tag is looked up.
 CROSS JOIN json_each(:tags) AS sent
 CROSS JOIN tags ON tags.name = sent.value
 WHERE slugs.slug = :slug
   AND articles.author_id = :me;
