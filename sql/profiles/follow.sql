-- Follow a user. Doing it twice changes nothing.
--
--   :username_key  TEXT     the folded username of whom to follow
--   :me            INTEGER  the caller's user id
--   :now           TEXT     the time of the request

INSERT INTO follows (follower_id, followed_id, created_at)
SELECT :me, id, :now
  FROM users
 WHERE username_key = :username_key
   AND role <> 'deleted' -- what people have left behind is nobody's feed
    ON CONFLICT DO NOTHING;
