-- Loses every account.
DROP TABLE users;
