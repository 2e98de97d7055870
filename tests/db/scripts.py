"""Schema scripts that a test writes, and the database that they build."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from db import StartupError
from db.migrations import Report, migrate, rollback
from tests.clock import ManualClock

IRREVERSIBLE = "-- The old values are unknown."

# A script that inserts as many rows as the table `pace` says; 20 million take long enough to interrupt it.
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
    """A folder of schema scripts and a database, which does not exist yet; `said` are the lines of the runner."""

    def __init__(self, home: Path) -> None:
        self.folder = home / "schema"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.database = home / "data" / "rowboat.db"
        self.said: list[str] = []

    def add(self, name: str, up: str, down: str = IRREVERSIBLE) -> Path:
        """Write the next pair; returns the path of its up script."""
        number = len(list(self.folder.glob("*.down.sql"))) + 1
        path = self.folder / f"{number:04d}_{name}.sql"
        path.write_text(up, encoding="utf-8")
        path.with_suffix(".down.sql").write_text(down, encoding="utf-8")
        return path

    def remove(self, name: str) -> None:
        """Delete a pair."""
        for path in self.folder.glob(f"*_{name}.*"):
            path.unlink()

    def migrate(self, **options: Any) -> list[str]:
        """Apply pending scripts at the time at which a ManualClock starts; returns their names."""
        options.setdefault("clock", ManualClock())
        done = migrate(self.database, self.folder, Report(self.said.append), **options)
        return [str(each) for each in done]

    def rollback(self, to: int, **options: Any) -> list[str]:
        """Undo the scripts above a number; returns their names."""
        done = rollback(self.database, self.folder, Report(self.said.append), to=to, **options)
        return [str(each) for each in done]

    def refusal(self, **options: Any) -> str:
        """The error message of a migrate that fails."""
        with pytest.raises(StartupError) as refused:
            self.migrate(**options)
        return str(refused.value)

    def sql(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows of a statement, on a new connection with foreign keys on."""
        with closing(sqlite3.connect(self.database)) as connection, connection:
            connection.execute("PRAGMA foreign_keys = ON")
            return connection.execute(sql, values).fetchall()

    run = sql  # tests/commands.py runs commands instead

    def tables(self) -> list[str]:
        """The names of the tables, without the ledger."""
        rows = self.sql(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'schema_migrations' ORDER BY 1"
        )
        return [name for (name,) in rows]

    def versions(self) -> list[int]:
        """The numbers of the applied scripts."""
        return [version for (version,) in self.sql("SELECT version FROM schema_migrations ORDER BY version")]

    def files(self) -> list[str]:
        """The files in the database's folder, without the locks."""
        home = self.database.parent
        return sorted(
            str(path.relative_to(home)) for path in home.rglob("*") if path.suffix not in (".lock", ".in-use")
        )
