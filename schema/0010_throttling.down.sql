-- Forgets who guessed how often, and from where people have logged in.
DROP TABLE login_addresses;
DROP TABLE attempts;
