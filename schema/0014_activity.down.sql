-- Nothing is lost.
DROP INDEX comments_created_at_idx;
DROP INDEX articles_created_at_idx;
DROP INDEX users_created_at_idx;
