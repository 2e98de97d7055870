-- Who reads whom.

CREATE TABLE follows (
    follower_id  INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    followed_id  INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at   TEXT    NOT NULL, -- UTC, 2026-01-31T12:00:00.000Z

    -- In this order the key answers both "whom does she follow" (sql/articles/feed.sql)
    -- and "does she follow him" (every author that is shown).
    PRIMARY KEY (follower_id, followed_id),

    CONSTRAINT follows_created_at_format CHECK (created_at LIKE '____-__-__T__:__:__.___Z')
) STRICT, WITHOUT ROWID;

-- For the cascade from the followed user, which would scan without it.
CREATE INDEX follows_followed_id_idx ON follows (followed_id);
