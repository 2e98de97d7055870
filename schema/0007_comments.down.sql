-- Loses every comment.
DROP TABLE comments;
