-- A schema in Graphviz's language, line by line: a box for each table, then an arrow for each foreign key.
--
--   :tables  TEXT  the names of the tables, as a JSON array
--
-- Returns lines.

WITH
tables AS (
    SELECT value AS name
      FROM json_each(:tables)
),
lines (part, about, number, line) AS (
    SELECT 1, name, -2, format(
               '    %s [URL="/study/tables/%s", tooltip="%s", label=<'
               || '<TABLE BORDER="1" CELLBORDER="0" CELLSPACING="0" CELLPADDING="3">', name, name, name)
      FROM tables
     UNION ALL
    SELECT 1, name, -1, format('        <TR><TD COLSPAN="2" BORDER="1" SIDES="B"><B>%s</B></TD></TR>', name)
      FROM tables
     UNION ALL
    SELECT 1, tables.name, cid, format(
               '        <TR><TD ALIGN="LEFT" PORT="%s">%s</TD><TD ALIGN="LEFT">%s</TD></TR>',
               columns.name,
               iif(pk, '<U>' || columns.name || '</U>', columns.name),
               type || iif("notnull" OR pk OR type = '', '', ' | NULL'))
      FROM tables
      JOIN pragma_table_xinfo(tables.name) AS columns
     WHERE hidden <> 1
     UNION ALL
    -- SQLite lists the newest index first. An expression in one has no name.
    SELECT 1, tables.name, 9998 - seq, format(
               '        <TR><TD COLSPAN="2" ALIGN="LEFT">UNIQUE (%s)</TD></TR>',
               (SELECT group_concat(coalesce(name, '…'), ', ') FROM pragma_index_info(indexes.name)))
      FROM tables
      JOIN pragma_index_list(tables.name) AS indexes
     WHERE "unique"
       AND origin <> 'pk'
     UNION ALL
    SELECT 1, name, 9999, '        </TABLE>>]'
      FROM tables
     UNION ALL
    SELECT 2, tables.name, -id, format('    %s:%s:w -> %s', tables.name, "from", "table")
      FROM tables
      JOIN pragma_foreign_key_list(tables.name)
)
SELECT line
  FROM lines
 ORDER BY part, about, number;
