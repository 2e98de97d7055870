-- Put the words of an article into the search index. What is NULL stays as it was.
--
--   :slug               TEXT         a slug that the article has or had
--   :me                 INTEGER      the user id of its author
--   :title_words        TEXT | NULL  the normalized words of its title (handlers/words.py)
--   :description_words  TEXT | NULL  those of its description
--   :body_words         TEXT | NULL  those of its body

REPLACE INTO article_search (rowid, title, description, body)
SELECT articles.id,
       coalesce(:title_words,       article_search.title),
       coalesce(:description_words, article_search.description),
       coalesce(:body_words,        article_search.body)
  FROM slugs
  JOIN articles INDEXED BY articles_author_id_idx ON articles.id = slugs.article_id
  LEFT JOIN article_search ON article_search.rowid = articles.id
 WHERE slugs.slug = :slug
   AND articles.author_id = :me
   AND coalesce(:title_words, :description_words, :body_words) IS NOT NULL;
