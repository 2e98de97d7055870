"""Pages to study the SQL: every route beside the files that answer it. Nothing else depends on this folder."""
