-- How much of a copy `restore` does not bring back (see forget.sql).
--
-- Returns one row. The command prints the names of its columns.

SELECT (SELECT count(*) FROM sessions)        AS sessions,
       (SELECT count(*) FROM password_resets) AS password_resets,
       (SELECT count(*) FROM outbox)          AS queued_mails;
