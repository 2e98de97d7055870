-- Change what was sent of the caller's account, and nothing else.
--
--   :me       INTEGER  the caller's user id
--   :changes  TEXT     a JSON object with any of: username and username_key, email and
--                      email_key, password_hash, bio, image; the last two may be null
--   :now      TEXT     the time of the request

UPDATE users
   SET username      = coalesce(:changes ->> 'username', username),
       username_key  = coalesce(:changes ->> 'username_key', username_key),
       email         = coalesce(:changes ->> 'email', email),
       email_key     = coalesce(:changes ->> 'email_key', email_key),
       password_hash = coalesce(:changes ->> 'password_hash', password_hash),
       -- json_type tells what was not sent (NULL) from what was sent as null ('null').
       bio           = iif(json_type(:changes, '$.bio') IS NULL, bio, :changes ->> 'bio'),
       image         = iif(json_type(:changes, '$.image') IS NULL, image, :changes ->> 'image'),
       updated_at    = :now
 WHERE id = :me;
