-- The tables and indexes of a database, with all that the pages tell of them.
--
-- Returns one JSON object: tables (columns, and parents by foreign key) and indexes (table, columns, whether each is
-- unique, and what made it: c for CREATE INDEX, u for UNIQUE, pk for PRIMARY KEY), each by name.

SELECT json_object(
           'tables', (
               SELECT json_group_object(tables.name, json_object(
                          'columns', (
                              SELECT json_group_array(json_object(
                                         'name',     name,
                                         'type',     type,
                                         'required', "notnull" OR pk,
                                         'default',  dflt_value,
                                         'pk',       pk))
                                FROM pragma_table_info(tables.name)),
                          'parents', (
                              SELECT json_group_array(json_object(
                                         'column', "from",
                                         'table',  "table",
                                         'to',     coalesce("to", 'key'),
                                         'then',   on_delete))
                                FROM pragma_foreign_key_list(tables.name))))
                 FROM pragma_table_list AS tables
                WHERE schema = 'main'
                  AND type <> 'view'),
           'indexes', (
               SELECT json_group_object(indexes.name, json_object(
                          'table',   tables.name,
                          'unique',  indexes."unique",
                          'origin',  indexes.origin,
                          'columns', (
                              SELECT json_group_array(coalesce(name, '(expression)'))
                                FROM pragma_index_info(indexes.name))))
                 FROM pragma_table_list AS tables
                 JOIN pragma_index_list(tables.name) AS indexes
                WHERE tables.schema = 'main')
       );
