-- Loses who follows whom; the people stay.
DROP TABLE follows;
