-- Loses every favorite; the articles and the people stay.
DROP TABLE favorites;

UPDATE articles SET favorites_count = 0;
UPDATE users SET favorites_count = 0;
