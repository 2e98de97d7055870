-- End one of the caller's sessions. sql/sessions/must_be_mine.sql goes before it.
--
--   :id  INTEGER  the session's id
--   :me  INTEGER  the caller's user id

DELETE FROM sessions
 WHERE id = :id
   AND user_id = :me;
