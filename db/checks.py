"""What a schema script must not do by mistake: ignore a misspelt request, lose rows by a cascade, leave a foreign key
without its parent."""

import re
import sqlite3
from difflib import SequenceMatcher
from pathlib import Path

from db.errors import StartupError
from db.script import blank_comments, first_comment, split

# A script may ask for this in its first comment, to rebuild a table that others refer to.
_FOREIGN_KEYS_OFF = re.compile(r"[\s\ufeff]*--\s*foreign_keys:\s*off\s*", re.IGNORECASE)

# Statements that change or delete rows because the script says so, and what it calls tables from then on.
_DELETES, _UPDATES = r"delete from|drop table(?: if exists)?", r"update(?: or \w+)?"
_RENAME = re.compile("(.*) rename to (.*) ")


def turns_foreign_keys_off(script: Path, text: str) -> bool:
    """Whether a script asks for that. Raises StartupError for a comment that only resembles the request."""
    asked = False
    beginning = first_comment(text).count("\n") + 1
    for number, line in enumerate(_comments(text).split("\n"), 1):
        words = re.sub("[^a-z]", "", line.lower())
        if _FOREIGN_KEYS_OFF.fullmatch(line) and number <= beginning:
            asked = True
        elif (words.startswith("foreignkey") and re.search("[:=]", line)) or (
            SequenceMatcher(None, words, "foreignkeysoff").ratio() > 0.8
        ):
            raise StartupError(
                f"{script}:{number}: this is close to `-- foreign_keys: off`, but has no effect; write exactly that on "
                "a line of its own above the first statement, or reword the comment"
            )
    return asked


def _comments(text: str) -> str:
    """Only the comments of a script, each on its line."""
    code = blank_comments(text)
    return "".join(a if a == "\n" or a != b else " " for a, b in zip(text, code, strict=True))


def row_counts(connection: sqlite3.Connection) -> dict[tuple[str, str | None], int]:
    """How many rows each ordinary table has, and how many values each foreign key that may be NULL has."""
    columns = connection.execute(
        """
        SELECT lower(name), NULL
          FROM pragma_table_list
         WHERE schema = 'main'
           AND type = 'table'
           AND name <> 'schema_migrations'
           AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
         UNION
        SELECT lower(child.name), foreign_key."from"
          FROM pragma_table_list AS child
          JOIN pragma_foreign_key_list(child.name, 'main') AS foreign_key
          JOIN pragma_table_info(child.name, 'main') AS info ON info.name = foreign_key."from"
         WHERE child.schema = 'main'
           AND NOT info."notnull"
         ORDER BY 2, 1
        """
    ).fetchall()
    quoted = {text: '"' + text.replace('"', '""') + '"' if text else "*" for names in columns for text in names}
    return {
        (table, column): connection.execute(f"SELECT count({quoted[column]}) FROM main.{quoted[table]}").fetchone()[0]
        for table, column in columns
    }


def require_rows_kept(
    script: Path, text: str, before: dict[tuple[str, str | None], int], after: dict[tuple[str, str | None], int]
) -> None:
    """Raise StartupError where a table lost rows, or references, and no statement of the script says so.

    A foreign key would have deleted or cleared them: DROP TABLE deletes the rows of the table first."""
    renamed = {match[1]: match[2] for rest in _of(text, "alter table") if (match := _RENAME.fullmatch(rest))}
    for (table, column), count in before.items():
        lost = count - after.get((renamed.get(table, table), column), count)
        verbs = f"{_DELETES}|{_UPDATES}" if column else _DELETES
        if lost > 0 and not any(rest.startswith(f"{table} ") for rest in _of(text, verbs)):
            raise StartupError(
                f"{script}: would {f'clear {column} in' if column else 'delete'} {lost} of {count} rows of {table}, "
                f"which it does not name in {'an UPDATE, DELETE' if column else 'a DELETE'} or DROP TABLE; a script "
                "that rebuilds a table begins with the line `-- foreign_keys: off`"
            )


def _of(text: str, verbs: str) -> list[str]:
    """What follows such words at the beginning of a statement, in lower case, without quotes."""
    bare = (" ".join(re.sub('["`;[\\]]', " ", blank_comments(each.sql)).lower().split()) for each in split(text))
    found = [re.match(rf"(?:with\b.*?\b)?(?:{verbs}) (?:main ?\. ?)?(.*)", statement) for statement in bare]
    return [f"{match[1]} " for match in found if match]


def require_parents(connection: sqlite3.Connection, script: Path) -> None:
    """Raise StartupError where a foreign key refers to a table or a column that does not exist; sqlite3.Error where
    it refers to what is no key, or where a trigger does not fit the tables that it writes."""
    dangling = connection.execute(
        """
        SELECT child.name, foreign_key."table", foreign_key."to"
          FROM pragma_table_list AS child
          JOIN pragma_foreign_key_list(child.name, 'main') AS foreign_key
         WHERE child.schema = 'main'
           AND NOT EXISTS (
                   SELECT 1
                     FROM pragma_table_xinfo(foreign_key."table", 'main') AS parent
                    WHERE foreign_key."to" IS NULL
                       OR parent.name = foreign_key."to" COLLATE NOCASE)
        """
    ).fetchone()
    if dangling:
        child, parent, column = dangling
        raise StartupError(
            f"{script}: would leave {child} with a foreign key to {parent}{f'.{column}' if column else ''}, which does "
            "not exist; rebuild that table, too"
        )
    # Compiled, not run: the first finds parents that are not unique, the others compile the triggers that they fire.
    writes = connection.execute(
        """
        SELECT 'PRAGMA foreign_key_check'
         UNION ALL
        SELECT format(statement.form, written.name, info.name, info.name)
          FROM pragma_table_list AS written
          JOIN pragma_table_info(written.name, 'main') AS info
          JOIN (SELECT 'DELETE FROM main."%w"' AS form
                 UNION ALL
                SELECT 'INSERT INTO main."%w" ("%w") VALUES (NULL)'
                 UNION ALL
                SELECT 'UPDATE main."%w" SET "%w" = "%w"') AS statement
         WHERE written.schema = 'main'
           AND written.type = 'table'
           AND written.name IN (SELECT tbl_name FROM sqlite_schema WHERE type = 'trigger')
        """
    ).fetchall()
    for (statement,) in writes:
        connection.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall()
