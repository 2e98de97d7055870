-- Forgets the tokens that were mailed, and the mails that wait.
DROP TABLE outbox;
DROP TABLE password_resets;
