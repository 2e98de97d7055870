-- The schema in Graphviz's language: the same text for the same schema.
--
-- Returns one text: a box for each table, and an arrow from each foreign key to the table whose key it is.

WITH
tables AS MATERIALIZED (
    SELECT name
      FROM pragma_table_list
     WHERE schema = 'main'
       AND type NOT IN ('shadow', 'view')
       AND name <> 'schema_migrations'
       AND name NOT LIKE 'sqlite\_%'      ESCAPE '\'
       AND name NOT LIKE '\_litestream\_%' ESCAPE '\'
     ORDER BY name
),
boxes AS (
    SELECT format('    %s [URL="/study/tables/%s", tooltip="%s", label=<<TABLE BORDER="1" CELLBORDER="0" CELLSPACING="0" CELLPADDING="3">
        <TR><TD COLSPAN="2" BORDER="1" SIDES="B"><B>%s</B></TD></TR>', name, name, name, name)
        || (SELECT group_concat(format('
        <TR><TD ALIGN="LEFT" PORT="%s">%s</TD><TD ALIGN="LEFT">%s</TD></TR>',
                       name,
                       iif(pk, format('<U>%s</U>', name), name),
                       type || iif(type = '' OR "notnull" OR pk, '', ' | NULL')), '')
              FROM (SELECT * FROM pragma_table_xinfo(tables.name) WHERE hidden <> 1 ORDER BY cid))
        || (SELECT coalesce(group_concat(format('
        <TR><TD COLSPAN="2" ALIGN="LEFT">UNIQUE (%s)</TD></TR>',
                       -- An expression has no name.
                       (SELECT group_concat(coalesce(name, '…'), ', ')
                          FROM (SELECT * FROM pragma_index_info(keys.name) ORDER BY seqno))), ''), '')
              FROM (SELECT * FROM pragma_index_list(tables.name)
                     WHERE "unique" AND origin <> 'pk' ORDER BY seq DESC) AS keys)
        || '</TABLE>>]
' AS box
      FROM tables
),
arrows AS (
    SELECT format('    %s:%s:w -> %s
', name, "from", "table") AS arrow
      FROM (SELECT tables.name, parents.*
              FROM tables
              JOIN pragma_foreign_key_list(tables.name) AS parents
             ORDER BY tables.name, parents.id DESC, parents.seq)
)
SELECT '// The schema, table by table. Made by `make schema-drawing`; do not edit.
digraph schema {
    graph [rankdir=RL, bgcolor=white, nodesep=0.3, ranksep=0.9, fontname="sans-serif", fontsize=11,
           label="Underlined: the primary key. An arrow leads from a foreign key to the table whose key it is."]
    node [shape=plain, fontname="sans-serif", fontsize=11]
    edge [arrowsize=0.7]

' || (SELECT group_concat(box, '') FROM boxes) || '
' || (SELECT group_concat(arrow, '') FROM arrows) || '}
';
