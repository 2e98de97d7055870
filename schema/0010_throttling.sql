-- How often something was tried of late. Every process counts here, so that none can be asked instead of another.

CREATE TABLE attempts (
    subject         TEXT    NOT NULL PRIMARY KEY, -- what is counted, and of whom: "login from 192.0.2.1"
    -- How full the measure is: each attempt adds 1, and time takes away (a leaky bucket).
    level           REAL    NOT NULL,
    -- Milliseconds since 1970, unlike the times of other tables: these are reckoned with.
    counted_at_ms   INTEGER NOT NULL,
    waits_until_ms  INTEGER NOT NULL, -- until then the next attempt is refused; 0 for none

    CONSTRAINT attempts_level_sign CHECK (level >= 0)
) STRICT, WITHOUT ROWID;

-- For sql/attempts/delete_old.sql.
CREATE INDEX attempts_counted_at_ms_idx ON attempts (counted_at_ms);

-- From where people have logged in before: there, the guesses of strangers elsewhere do not slow them down.
CREATE TABLE login_addresses (
    user_id  INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    address  TEXT    NOT NULL, -- of IPv6 the network (/64), which one household shares
    used_at  TEXT    NOT NULL, -- UTC, 2026-01-31T12:00:00.000Z

    PRIMARY KEY (user_id, address),

    CONSTRAINT login_addresses_used_at_format CHECK (used_at LIKE '____-__-__T__:__:__.___Z')
) STRICT;

-- For sql/addresses/delete_old.sql.
CREATE INDEX login_addresses_used_at_idx ON login_addresses (used_at);
