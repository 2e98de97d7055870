-- Refuse to delete a comment of somebody else, or one that stands elsewhere.
--
--   :slug  TEXT     a slug that the article has or had
--   :id    INTEGER  the comment's id
--   :me    INTEGER  the caller's user id
--
-- Returns one row: the verdict, NULL when the comment is the caller's and stands under this article.

SELECT CASE
           WHEN slugs.slug IS NULL        THEN 'article: not found'
           WHEN comments.id IS NULL       THEN 'comment: not found'
           WHEN comments.author_id <> :me THEN 'comment: forbidden'
       END AS verdict
  -- One row to hang the joins on: there is an answer also when they find nothing.
  FROM (SELECT 1)
  LEFT JOIN slugs    ON slugs.slug = :slug
  LEFT JOIN comments ON comments.id = :id
                    AND comments.article_id = slugs.article_id;
