"""The files of sql/: loaded by name, and checked against the schema before anything runs."""

import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from db.errors import StartupError
from db.script import Statement, blank_comments, code_only, read_script, split, visible

# A header's line for one parameter:  --   :slug  TEXT | NULL  the article's slug
PARAMETER = re.compile(r"--\s+:(\w+)\s+((?:INTEGER|TEXT|REAL)(?: \| NULL)?)(?=\s|$)")

# SQL files are told the time and the chances of a request; they do not make them up.
_CLOCKS = {"date", "time", "datetime", "julianday", "unixepoch", "timediff"}
_REFUSED_FUNCTIONS = _CLOCKS | {"current_date", "current_time", "current_timestamp", "random", "randomblob"}
_REFUSED_ACTIONS = {
    sqlite3.SQLITE_TRANSACTION: "BEGIN, COMMIT or ROLLBACK",
    sqlite3.SQLITE_SAVEPOINT: "SAVEPOINT",
    sqlite3.SQLITE_PRAGMA: "PRAGMA",
    sqlite3.SQLITE_ATTACH: "ATTACH",
    sqlite3.SQLITE_DETACH: "DETACH",
}
_WRITES = {sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE}


@dataclass(frozen=True)
class SQLFile:
    """One file of sql/. `parameters` maps each name to its type, as the header has it."""

    name: str
    path: Path
    description: str
    parameters: dict[str, str]
    statements: tuple[str, ...]
    writes: bool


def load(folder: Path, connection: sqlite3.Connection) -> dict[str, SQLFile]:
    """Every file under `folder` by its name: `articles/list` is articles/list.sql.

    Each is compiled on `connection`, whose schema must be migrated. Raises StartupError with file and
    line where one does not compile, asks for other parameters than its header lists, or does what a file
    may not: call a clock or a random function, or use transactions, PRAGMA or double quotes."""
    return {name: _compile(name, path, connection) for name, path in find(folder).items()}


def find(folder: Path) -> dict[str, Path]:
    """The paths of the files under `folder`, by name."""
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in visible(folder, "**/*.sql")}


def _compile(name: str, path: Path, connection: sqlite3.Connection) -> SQLFile:
    script = read_script(path)
    description, parameters = _read_header(script)
    asked: dict[str, int] = {}
    writes = False
    statements = list(split(script))
    if not statements:
        raise StartupError(f"{path}: holds no statement; write it, or delete the file")
    for statement in statements:
        _refuse_quotes_and_clocks(path, statement)
        names, changes = _explain(path, statement, connection)
        writes = writes or changes
        for parameter in names:
            asked.setdefault(parameter, _line_of_parameter(parameter, statement))
    for parameter, line in asked.items():
        if parameter not in parameters:
            raise StartupError(f"{path}:{line}: :{parameter} is not in the header; list it there, or correct the name")
    for parameter in parameters:
        if parameter not in asked:
            line = next(n for n, text in enumerate(script.split("\n"), 1) if re.match(rf"--\s+:{parameter}\b", text))
            raise StartupError(f"{path}:{line}: :{parameter} is in the header, but no statement asks for it")
    return SQLFile(name, path, description, parameters, tuple(each.sql for each in statements), writes)


def _read_header(script: str) -> tuple[str, dict[str, str]]:
    """The description (what stands before the parameters) and the parameters of a file's first comment."""
    lines = []
    for line in script.splitlines():
        if not line.startswith("--"):
            break
        lines.append(line)
    parameters = {match[1]: match[2] for match in map(PARAMETER.match, lines) if match}
    description = []
    for line in lines:
        if not line.strip("- ") or PARAMETER.match(line):
            break
        description.append(line.removeprefix("--").strip())
    return " ".join(description), parameters


def _line_of_parameter(name: str, statement: Statement) -> int:
    place = re.search(rf"[:@$]{name}\b", code_only(statement.sql))
    return statement.line_at(place.start()) if place else statement.first_line


def _refuse_quotes_and_clocks(path: Path, statement: Statement) -> None:
    for problem, place in _textual_problems(statement.sql):
        raise StartupError(f"{path}:{statement.line_at(place)}: {problem}")


def _textual_problems(sql: str) -> Iterator[tuple[str, int]]:
    # SQLite takes an unknown name in double quotes for a text, so a misspelt column would go unnoticed.
    quote = code_only(sql).find('"')
    if quote >= 0:
        yield "double quotes; write 'text' in single quotes, and names without any", quote
    # strftime may reckon with a time that it is given: a column or a parameter, never 'now' or nothing.
    code = blank_comments(sql)
    for call in re.finditer(r"\bstrftime\W?\s*\(", code, re.IGNORECASE):
        if not re.compile(r"\s*'[^']*'\s*,\s*:?[a-z_][\w.]*\s*[,)]", re.IGNORECASE).match(code, call.end()):
            yield "strftime without a stated time; SQL calls no clock, pass the time as a parameter", call.start()


class _Asked(dict[str, None]):
    """Parameters that are all NULL, and that remembers which ones SQLite asked for."""

    def __missing__(self, name: str) -> None:
        self[name] = None


def _explain(path: Path, statement: Statement, connection: sqlite3.Connection) -> tuple[list[str], bool]:
    """Compile a statement without running it: the parameters that it asks for, and whether it writes."""
    refused: list[str] = []
    writes = False

    def authorize(action: int, _: str | None, second: str | None, *__: str | None) -> int:
        nonlocal writes
        writes = writes or action in _WRITES
        if action in _REFUSED_ACTIONS:
            refused.append(_REFUSED_ACTIONS[action])
        elif action == sqlite3.SQLITE_FUNCTION and second in _REFUSED_FUNCTIONS:
            refused.append(f"{second}()")
        return sqlite3.SQLITE_DENY if refused else sqlite3.SQLITE_OK

    asked = _Asked()
    try:
        # The first time without the authorizer: a virtual table's first use on a connection does what it refuses.
        connection.execute("EXPLAIN " + statement.sql, asked).fetchall()
        connection.set_authorizer(authorize)
        connection.execute("EXPLAIN " + statement.sql, asked).fetchall()
    except sqlite3.Error as error:
        if refused:
            raise StartupError(
                f"{path}:{statement.first_line}: {refused[0]} has no place in a SQL file; what varies is a parameter"
            ) from error
        raise StartupError(f"{path}:{statement.line_of(error)}: {error}") from error
    finally:
        connection.set_authorizer(None)
    return list(asked), writes
