-- Delete what a restored copy must not bring back: sessions that were ended since, tokens that were used since, and
-- mails that were sent since.

DELETE FROM sessions;

DELETE FROM password_resets;

DELETE FROM outbox;
