-- The caller's account, for the export. Never the hash of the password.
--
--   :me  INTEGER  the caller's user id
--
-- Returns one row: entries (a JSON object) and next (always NULL); no row when the account is gone.

SELECT json_object(
           'id',             id,
           'username',       username,
           'email',          email,
           'role',           role,
           'suspendedAt',    suspended_at,
           'bio',            bio,
           'image',          image,
           'articlesCount',  articles_count,
           'favoritesCount', favorites_count
                             - (SELECT count(*)
                                  FROM hidden_articles
                                 WHERE EXISTS (
                                           SELECT 1 FROM favorites
                                            WHERE user_id = :me AND article_id = hidden_articles.id)),
           'createdAt',      created_at,
           'updatedAt',      updated_at) AS entries,
       NULL AS next
  FROM visible_users
 WHERE id = :me;
