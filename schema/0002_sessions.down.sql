-- Logs everybody out.
DROP TABLE sessions;
