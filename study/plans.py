"""Query plans in plain words (https://sqlite.org/eqp.html), and what a file touches."""

import json
import re
import sqlite3
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from db import Database
from db.schema import Thing
from db.statements import SQLFile

_SENTENCES = tomllib.loads(Path(__file__).with_name("sentences.toml").read_text(encoding="utf-8-sig"))
_BOUNDS = {"=": "", "<": " up to a bound", ">": " from a bound on"}
_VERBS = {sqlite3.SQLITE_READ: "reads", sqlite3.SQLITE_INSERT: "inserts"}
_VERBS |= {sqlite3.SQLITE_UPDATE: "updates", sqlite3.SQLITE_DELETE: "deletes"}
# The tables and indexes of a database by name, as shape.sql returns them.
Shape = dict[str, dict[str, dict[str, Any]]]


@dataclass
class Step:
    """A step of a plan: SQLite's words, ours, and where to read on: a table, or an index of it."""

    text: str
    sentence: str
    table: str = ""
    index: str = ""
    steps: list["Step"] = field(default_factory=list)


@contextmanager
def compiler(database: Database) -> Iterator[tuple[sqlite3.Connection, Shape]]:
    """A connection on which every file compiles, also those that write: it cannot, but trusts the schema."""
    with closing(database.connect(query_only=True)) as connection:
        connection.execute("PRAGMA trusted_schema = ON")
        asked = Path(__file__).with_name("shape.sql").read_text(encoding="utf-8-sig")
        yield connection, json.loads(connection.execute(asked).fetchone()[0])


def plan(connection: sqlite3.Connection, shape: Shape, file: SQLFile) -> list[list[Step]]:
    """The plan of each statement as a tree of steps."""
    trees = []
    for statement in file.statements:
        # SQLite names the table behind a view: of visible_users that is users.
        aliases = {alias: table for table, alias in re.findall(r"\b(?:visible_)?(\w+)\s+AS\s+(\w+)", statement)}
        steps: dict[int, list[Step]] = {0: []}
        rows = connection.execute(f"EXPLAIN QUERY PLAN {statement}", dict.fromkeys(file.parameters))
        for number, parent, _, text in rows.fetchall():
            step = _explained(shape, text, aliases)
            steps[parent].append(step)
            steps[number] = step.steps
        trees.append(steps[0])
    return trees


def indexes_of(trees: list[list[Step]]) -> list[str]:
    """Every index in these plans."""
    found = [name for steps in trees for step in steps for name in (step.index, *indexes_of([step.steps])) if name]
    return list(dict.fromkeys(found))


def touched(connection: sqlite3.Connection, things: Mapping[str, Thing], file: SQLFile) -> dict[str, list[str]]:
    """What a file does to each table among these things, also by triggers: reads, inserts, updates, deletes."""
    tables = {thing.name for thing in things.values() if thing.kind == "table"}
    found: dict[str, list[str]] = {}

    def note(action: int, table: str | None, _: str | None, __: str | None, cause: str | None) -> int:
        if action in _VERBS and table in tables:
            by = f" (by {things[cause]})" if cause and cause in things else ""  # else it is a part of the statement
            found.setdefault(table, []).append(_VERBS[action] + by)
        return sqlite3.SQLITE_OK

    connection.set_authorizer(note)
    for statement in file.statements:
        connection.execute(f"EXPLAIN {statement}", dict.fromkeys(file.parameters)).fetchall()
    connection.set_authorizer(None)
    return {table: list(dict.fromkeys(done)) for table, done in found.items()}


def _explained(shape: Shape, text: str, aliases: dict[str, str]) -> Step:
    """What a step means, by the first pattern in sentences.toml that it fits."""
    name, named, terms = re.match(r"\S+ ?(\S*)(?:.*? INDEX (\w+))?(?:.*\((.*)\))?", text).groups("")  # type: ignore[union-attr]
    if " USING PRIMARY KEY" in text:  # of a table without rowid
        keys = {its["table"]: index for index, its in shape["indexes"].items() if its["origin"] == "pk"}
        named = keys[aliases.get(name, name)]
    index = shape["indexes"].get(named)
    table = index["table"] if index else aliases.get(name, name)
    known = table in shape["tables"]
    words = {
        "name": table if name == table or not known else f"{table} (as {name})",
        "rest": text.partition(" FOR ")[2],
    }
    if known:
        words["sought"] = _sought(shape["tables"][table]["columns"], terms)
    if index:
        made = named if index["origin"] == "c" else f"({', '.join(index['columns'])})"
        words["index"] = "primary key" if index["origin"] == "pk" else f"{'unique ' * index['unique']}index {made}"
    told = text if known or not text.startswith(("SCAN", "SEARCH")) or "VIRTUAL" in text else f"OWN {text}"
    sentence = next(sentence for pattern, sentence in _SENTENCES.items() if re.match(pattern, told))
    sentence += " Where there is none, NULLs stand in." * text.endswith(" LEFT-JOIN")
    return Step(text, sentence.format(**words), table if known else "", named if index else "")


def _sought(columns: list[dict[str, Any]], terms: str) -> str:
    """The columns that are sought, each with what is known of it."""
    keys = [column for column in columns if column["pk"]]
    key = keys[0]["name"] if [each["type"] for each in keys] == ["INTEGER"] else "rowid"
    parts: dict[str, str] = {}
    for column, sign in re.findall(r"(\w+)([=<>])\?", terms):
        column = key if column == "rowid" else column
        parts[column] = " between two bounds" if parts.get(column) else _BOUNDS[sign]
    return " and ".join(column + words for column, words in parts.items()) or "an expression"
