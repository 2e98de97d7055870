-- Make some texts of a closed account those of "deleted user".
--
--   :user_id   INTEGER  whose account
--   :articles  TEXT     a JSON array of ids of its articles
--   :comments  TEXT     a JSON array of ids of its comments

UPDATE articles
   SET author_id = (SELECT id FROM visible_users WHERE role = 'deleted')
 WHERE id IN (SELECT value FROM json_each(:articles))
   AND author_id = :user_id;

UPDATE comments
   SET author_id = (SELECT id FROM visible_users WHERE role = 'deleted')
 WHERE id IN (SELECT value FROM json_each(:comments))
   AND author_id = :user_id;
