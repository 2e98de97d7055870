"""What the schema says of a table, and which script said it."""

import functools
import re
import sqlite3
from contextlib import closing

from db.migrations import Migration, Report, apply, find_migrations
from db.schema import Thing, things
from db.script import first_comment
from plugins.errors import CONSTRAINTS as CONSTRAINTS
from study.sources import HOME

SCHEMA = HOME / "schema"


@functools.cache
def history() -> dict[str, list[Migration]]:
    """The scripts that made and changed each table, index and trigger: all of them are applied once, in memory."""
    found: dict[str, list[Migration]] = {}
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        before: set[Thing] = set()
        for migration in find_migrations(SCHEMA):
            apply(connection, migration.up, Report(), str(migration), lambda: None)
            after = set(things(connection))
            for thing in after - before:
                found.setdefault(thing.name, []).append(migration)
            before = after
    return found


def checks(sql: str) -> list[tuple[str, str]]:
    """The name and the condition of each CHECK."""
    return re.findall(r"CONSTRAINT (\w+)\s+CHECK (\(.*\)),?$", sql, re.MULTILINE)


def comments(sql: str) -> dict[str, str]:
    """What stands as a comment above each definition or at its line's end, by the name that is defined."""
    found: dict[str, str] = {}
    above: list[str] = []
    for line in map(str.strip, sql.splitlines()):
        definition, _, comment = (part.strip() for part in line.partition("--"))
        if name := re.match(r"(?:CREATE (?:UNIQUE )?[A-Z]+ )?(\w+)", definition):
            found.setdefault(name[1], " ".join(filter(None, [*above, comment])))
        above = [*above, comment] if comment and not definition else []
    return found


def parameters(script: str) -> dict[str, str]:
    """What the header of a SQL file says of each parameter."""
    lines = re.findall(
        r"^--\s+:(\w+)\s+[A-Z]+(?: \| NULL)?\s+(.*(?:\n--\s{6,}\S.*(?<!:\w).*)*)", first_comment(script), re.M
    )
    return {name: re.sub(r"\n--\s+", " ", meaning) for name, meaning in lines}
