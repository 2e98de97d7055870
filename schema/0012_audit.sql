-- Who did what to whom. It is written with the act, in one transaction, and nobody edits it.

CREATE TABLE audit (
    id          INTEGER PRIMARY KEY AUTOINCREMENT, -- "newest first" is this key, descending
    created_at  TEXT    NOT NULL, -- UTC, 2026-01-31T12:00:00.000Z
    -- Users stand here by their id alone, which says nothing once they have left: no foreign keys.
    actor_id    INTEGER, -- who did it; NULL for who was not logged in, and for the command line
    action      TEXT    NOT NULL, -- docs/api.md lists them
    user_id     INTEGER, -- whose account or text it was; NULL for nobody's
    object_id   INTEGER, -- the id of the article or comment
    request_id  TEXT,    -- the answer's X-Request-Id; NULL for the command line

    CONSTRAINT audit_created_at_format CHECK (created_at LIKE '____-__-__T__:__:__.___Z'),
    CONSTRAINT audit_action_format     CHECK (action GLOB '[a-z]*.[a-z]*')
) STRICT;

-- For sql/audit/find.sql with an actor.
CREATE INDEX audit_actor_id_idx ON audit (actor_id);
-- For sql/users/export.sql.
CREATE INDEX audit_user_id_idx ON audit (user_id);
-- For sql/audit/delete_old.sql.
CREATE INDEX audit_created_at_idx ON audit (created_at);

-- One row: what is older than this may be deleted.
CREATE TABLE audit_horizon (
    id          INTEGER PRIMARY KEY,
    created_at  TEXT    NOT NULL, -- UTC, 2026-01-31T12:00:00.000Z

    CONSTRAINT audit_horizon_created_at_format CHECK (created_at LIKE '____-__-__T__:__:__.___Z'),
    CONSTRAINT audit_horizon_id_one            CHECK (id = 1)
) STRICT;

INSERT INTO audit_horizon (id, created_at)
VALUES (1, '0000-01-01T00:00:00.000Z');

CREATE TRIGGER audit_before_update_refuse BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;

CREATE TRIGGER audit_before_delete_refuse BEFORE DELETE ON audit
    WHEN OLD.created_at >= (SELECT created_at FROM audit_horizon WHERE id = 1)
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only: `audit prune` moves its horizon');
END;

-- INSERT OR REPLACE deletes what is in its way, and fires no trigger for that.
CREATE TRIGGER audit_before_insert_refuse BEFORE INSERT ON audit
    WHEN EXISTS (SELECT 1 FROM audit WHERE id = NEW.id)
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;

CREATE TRIGGER audit_horizon_before_update_refuse BEFORE UPDATE ON audit_horizon
    WHEN NEW.created_at < OLD.created_at
BEGIN
    SELECT RAISE(ABORT, 'the horizon of the audit log never moves back');
END;

CREATE TRIGGER audit_horizon_before_delete_refuse BEFORE DELETE ON audit_horizon
BEGIN
    SELECT RAISE(ABORT, 'the audit log has one horizon');
END;

CREATE TRIGGER audit_horizon_before_insert_refuse BEFORE INSERT ON audit_horizon
    WHEN EXISTS (SELECT 1 FROM audit_horizon WHERE id = NEW.id)
BEGIN
    SELECT RAISE(ABORT, 'the audit log has one horizon');
END;
