-- Forget addresses from which nobody has logged in for long, some at a time.
--
--   :unused_since  TEXT     those that were last used before this time
--   :most          INTEGER  how many rows to delete at most

DELETE FROM login_addresses
 WHERE rowid IN (
           SELECT rowid
             FROM login_addresses
            WHERE used_at < :unused_since
            ORDER BY used_at
            LIMIT :most);
