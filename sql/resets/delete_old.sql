-- Delete tokens that are no good any longer, some at a time.
--
--   :reset_expired  TEXT     those that were made at or before this time
--   :reset_ahead    TEXT     and those that were made after this one: the clock was ahead
--   :most           INTEGER  how many rows to delete at most

DELETE FROM password_resets
 WHERE token_hash IN (
           SELECT token_hash
             FROM password_resets
            WHERE created_at <= :reset_expired
            ORDER BY created_at
            LIMIT :most);

DELETE FROM password_resets
 WHERE created_at > :reset_ahead;
