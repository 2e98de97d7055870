-- What each session is used with, so that its owner knows it again.

ALTER TABLE sessions ADD COLUMN user_agent TEXT -- as the client names itself; NULL for one that does not
    CONSTRAINT sessions_user_agent_length CHECK (length(user_agent) BETWEEN 1 AND 255);

-- For sql/sessions/delete_expired.sql.
CREATE INDEX sessions_last_used_at_idx ON sessions (last_used_at);
