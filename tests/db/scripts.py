"""Schema scripts that a test makes up, and the database that they build."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from db import StartupError
from db.migrations import Report, migrate, rollback

IRREVERSIBLE = "-- Nobody remembers how it was."

# A script that takes as long as the table pace says: 20 million strokes are enough to catch it in the middle.
SLOW = """\
CREATE TABLE strokes (n INTEGER PRIMARY KEY, note TEXT NOT NULL) STRICT;

INSERT INTO strokes (n, note)
  WITH RECURSIVE counted (n) AS (
           SELECT 1
        UNION ALL
           SELECT n + 1 FROM counted WHERE n < (SELECT strokes FROM pace)
       )
SELECT n, 'stroke; number ' || n FROM counted;
"""
PACE = """\
CREATE TABLE pace (strokes INTEGER NOT NULL) STRICT;
INSERT INTO pace (strokes) VALUES (10);
"""


class Scripts:
    """A folder of schema scripts. `said` is what the runner told while they were applied and undone."""

    def __init__(self, home: Path) -> None:
        self.folder = home / "schema"
        self.folder.mkdir(exist_ok=True)
        self.database = home / "data" / "rowboat.db"
        self.said: list[str] = []

    def add(self, name: str, up: str, down: str = IRREVERSIBLE) -> Path:
        """Write the next pair; the path of its up script."""
        number = len(list(self.folder.glob("*.down.sql"))) + 1
        path = self.folder / f"{number:04d}_{name}.sql"
        path.write_text(up, encoding="utf-8")
        path.with_suffix(".down.sql").write_text(down, encoding="utf-8")
        return path

    def remove(self, name: str) -> None:
        """Take a pair away."""
        for path in self.folder.glob(f"*_{name}.*"):
            path.unlink()

    def migrate(self, **options: Any) -> list[str]:
        """Apply what is pending; what was applied."""
        return [str(each) for each in migrate(self.database, self.folder, Report(self.said.append), **options)]

    def rollback(self, to: int, **options: Any) -> list[str]:
        """Undo what lies above a number; what was undone."""
        done = rollback(self.database, self.folder, Report(self.said.append), to=to, **options)
        return [str(each) for each in done]

    def refusal(self, **options: Any) -> str:
        """The message with which the runner refuses to migrate."""
        with pytest.raises(StartupError) as refused:
            self.migrate(**options)
        return str(refused.value)

    def run(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """What SQLite answers, on a connection of its own that keeps foreign keys."""
        with closing(sqlite3.connect(self.database)) as connection, connection:
            connection.execute("PRAGMA foreign_keys = ON")
            return connection.execute(sql, values).fetchall()

    def tables(self) -> list[str]:
        """The tables, without the ledger."""
        rows = self.run(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'schema_migrations' ORDER BY 1"
        )
        return [name for (name,) in rows]

    def versions(self) -> list[int]:
        """The numbers that the ledger holds."""
        return [version for (version,) in self.run("SELECT version FROM schema_migrations ORDER BY version")]

    def files(self) -> list[str]:
        """What lies in the database's folder, without the locks."""
        found = self.database.parent.rglob("*")
        return sorted(
            str(path.relative_to(self.database.parent)) for path in found if path.suffix not in (".lock", ".in-use")
        )
