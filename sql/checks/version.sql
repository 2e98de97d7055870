-- Which schema script was applied last.
--
-- Returns one row: its number, as version.

SELECT max(version) AS version
  FROM schema_migrations;
