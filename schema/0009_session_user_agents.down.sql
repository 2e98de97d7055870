-- Nobody can tell any longer what a session is used with.
DROP INDEX sessions_last_used_at_idx;
ALTER TABLE sessions DROP COLUMN user_agent;
