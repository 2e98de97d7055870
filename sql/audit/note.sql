-- Note who did what to whom, in the transaction of the act.
--
--   :actions     TEXT            a JSON array of what was done, such as ["article.delete"]; nothing is noted of none
--   :me          INTEGER | NULL  who did it; NULL for who is not logged in, and for the command line
--   :user_id     INTEGER | NULL  whose account or text it was; NULL for nobody's
--   :object_id   INTEGER | NULL  the id of the article or comment; NULL for anything else
--   :request_id  TEXT | NULL     the answer's X-Request-Id; NULL for the command line
--   :now         TEXT            the time of the request

INSERT INTO audit (created_at, actor_id, action, user_id, object_id, request_id)
SELECT :now, :me, value, :user_id, :object_id, :request_id
  FROM json_each(:actions);
