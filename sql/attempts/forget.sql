-- Forget what was counted of somebody.
--
--   :subjects  TEXT     a JSON array: each subject, which what was counted by client address only begins with
--   :most      INTEGER  how many rows to delete at most, in this order

DELETE FROM attempts
 WHERE subject IN (
           SELECT attempts.subject
             FROM json_each(:subjects) AS counted
            -- "login to x" and "login to x from 192.0.2.1", but not "login to xy": the blank sorts before the "!".
            CROSS JOIN attempts ON attempts.subject >= counted.value
                               AND attempts.subject < counted.value || '!'
            LIMIT :most);
