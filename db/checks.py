"""What a schema script must not do by mistake: ignore a misspelt request, lose rows by a cascade, leave a foreign key
without its parent."""

import re
import sqlite3
from difflib import SequenceMatcher
from pathlib import Path

from db.errors import StartupError
from db.script import blank_comments, first_comment

# A script may ask for this in its first comment, to rebuild a table that others refer to.
_FOREIGN_KEYS_OFF = re.compile(r"\s*--\s*foreign_keys:\s*off\s*", re.IGNORECASE)

# The tables from which a script says that it deletes rows.
_DELETES_FROM = re.compile(
    r"""\b(?:DELETE\s+FROM|DROP\s+TABLE(?:\s+IF\s+EXISTS)?)\s+(?:main\s*\.\s*)?["'`\[]?(\w+)""", re.IGNORECASE
)


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


def row_counts(connection: sqlite3.Connection) -> dict[str, int]:
    """How many rows each ordinary table has."""
    names = connection.execute(
        """
        SELECT name
          FROM pragma_table_list
         WHERE schema = 'main'
           AND type = 'table'
           AND name <> 'schema_migrations'
           AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
        """
    ).fetchall()
    quoted = {name: name.replace('"', '""') for (name,) in names}
    return {name: connection.execute(f'SELECT count(*) FROM "{quoted[name]}"').fetchone()[0] for name in quoted}


def require_rows_kept(script: Path, text: str, before: dict[str, int], after: dict[str, int]) -> None:
    """Raise StartupError where a table lost rows, and the script names it in no DELETE or DROP TABLE.

    A cascade would have deleted them: DROP TABLE deletes the rows of the table first."""
    named = {name.lower() for name in _DELETES_FROM.findall(blank_comments(text))}
    for table, count in before.items():
        left = after.get(table, count)
        if left < count and table.lower() not in named:
            raise StartupError(
                f"{script}: would delete {count - left} of {count} rows of {table}, which it does not name in a DELETE "
                "or DROP TABLE; a script that rebuilds a table begins with the line `-- foreign_keys: off`"
            )


def require_parents(connection: sqlite3.Connection, script: Path) -> None:
    """Raise StartupError where a foreign key refers to a table or a column that does not exist."""
    dangling = connection.execute(
        """
        SELECT child.name, foreign_key."table", foreign_key."to"
          FROM pragma_table_list AS child
          JOIN pragma_foreign_key_list(child.name) AS foreign_key
         WHERE child.schema = 'main'
           AND NOT EXISTS (
                   SELECT 1
                     FROM pragma_table_info(foreign_key."table") AS parent
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
