-- Everything that is held about a user, for that user. Never a hash of a password or a token: they are of no use to
-- anybody but a thief.
--
--   :me        INTEGER  the caller's user id
--   :subjects  TEXT     a JSON array: under which subjects the caller's attempts are counted, as in
--                       sql/attempts/forget.sql
--
-- Returns the response body as JSON; no row when the account is gone.

SELECT json_object(
           'user', json_object(
               'id',             users.id,
               'username',       users.username,
               'email',          users.email,
               'role',           users.role,
               'suspendedAt',    users.suspended_at,
               'bio',            users.bio,
               'image',          users.image,
               'articlesCount',  users.articles_count,
               'favoritesCount', users.favorites_count,
               'createdAt',      users.created_at,
               'updatedAt',      users.updated_at),
           'articles', (
               SELECT json_group_array(json_object(
                          'slug',           articles.slug,
                          'slugs', (
                              SELECT json_group_array(slug) FROM slugs WHERE article_id = articles.id),
                          'title',          articles.title,
                          'description',    articles.description,
                          'body',           articles.body,
                          'tagList', (
                              SELECT json_group_array(name)
                                FROM (SELECT tags.name
                                        FROM article_tags
                                        JOIN tags ON tags.id = article_tags.tag_id
                                       WHERE article_tags.article_id = articles.id
                                       ORDER BY article_tags.position)),
                          'favoritesCount', articles.favorites_count,
                          'createdAt',      articles.created_at,
                          'updatedAt',      articles.updated_at))
                 FROM articles
                WHERE author_id = users.id),
           'comments', (
               SELECT json_group_array(json_object(
                          'id',        comments.id,
                          'article',   articles.slug,
                          'body',      comments.body,
                          'createdAt', comments.created_at))
                 FROM comments
                 JOIN articles ON articles.id = comments.article_id
                WHERE comments.author_id = users.id),
           'favorites', (
               SELECT json_group_array(json_object(
                          'article',   articles.slug,
                          'createdAt', favorites.created_at))
                 FROM favorites
                 JOIN articles ON articles.id = favorites.article_id
                WHERE favorites.user_id = users.id),
           'following', (
               SELECT json_group_array(json_object(
                          'username',  followed.username,
                          'createdAt', follows.created_at))
                 FROM follows
                 JOIN users AS followed ON followed.id = follows.followed_id
                WHERE follows.follower_id = users.id),
           -- Who they are is theirs to tell.
           'followers', (
               SELECT json_group_array(json_object('createdAt', created_at))
                 FROM follows
                WHERE followed_id = users.id),
           'sessions', (
               SELECT json_group_array(json_object(
                          'id',         id,
                          'userAgent',  user_agent,
                          'createdAt',  created_at,
                          'lastUsedAt', last_used_at))
                 FROM sessions
                WHERE user_id = users.id),
           'loginAddresses', (
               SELECT json_group_array(json_object(
                          'address', address,
                          'usedAt',  used_at))
                 FROM login_addresses
                WHERE user_id = users.id),
           'attempts', (
               SELECT json_group_array(json_object(
                          'subject',      attempts.subject,
                          'level',        attempts.level,
                          'countedAtMs',  attempts.counted_at_ms,
                          'waitsUntilMs', attempts.waits_until_ms))
                 FROM json_each(:subjects) AS counted
                CROSS JOIN attempts ON attempts.subject >= counted.value
                                   AND attempts.subject < counted.value || '!'),
           'passwordResets', (
               SELECT json_group_array(json_object('createdAt', created_at))
                 FROM password_resets
                WHERE user_id = users.id),
           'outbox', (
               SELECT json_group_array(json_object(
                          'id',            id,
                          'createdAt',     created_at,
                          'nextAttemptAt', next_attempt_at,
                          'attempts',      attempts))
                 FROM outbox
                WHERE user_id = users.id),
           -- Of whoever else had to do with it, the id alone, which is what the log holds.
           'audit', (
               SELECT json_group_array(json_object(
                          'id',        id,
                          'createdAt', created_at,
                          'action',    action,
                          'actorId',   actor_id,
                          'userId',    user_id,
                          'objectId',  object_id,
                          'requestId', request_id))
                 FROM audit
                WHERE id IN (SELECT id FROM audit INDEXED BY audit_actor_id_idx WHERE actor_id = users.id
                              UNION
                             SELECT id FROM audit INDEXED BY audit_user_id_idx WHERE user_id = users.id))
       ) AS response
  FROM users
 WHERE users.id = :me;
