"""Print a database as SQL text that builds it again: python tests/released/dump.py FILE."""

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing


def dump(connection: sqlite3.Connection) -> Iterator[str]:
    """The statements, one by one. A full-text index is not dumped but built anew from what it indexes."""
    rows = connection.execute("SELECT name, sql FROM sqlite_schema WHERE sql LIKE 'CREATE VIRTUAL TABLE%'")
    indexes = dict(rows.fetchall())
    for statement in connection.iterdump():
        if statement == "COMMIT;":
            for name, sql in indexes.items():
                yield f"{sql};"
                yield f"INSERT INTO {name} ({name}) VALUES ('rebuild');"
        begins = statement.partition("(")[0]
        of_an_index = any(name in begins for name in ("sqlite_master", "writable_schema", *indexes))
        if begins.startswith("CREATE TRIGGER") or not of_an_index:
            yield statement


if __name__ == "__main__":
    with closing(sqlite3.connect(sys.argv[1])) as database:
        print(*dump(database), sep="\n")
