"""Files of the project as people read them: highlighted code, and what stands in scripts and headers."""

import functools
import re
import sqlite3
from contextlib import closing
from pathlib import Path

from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexer import inherit
from pygments.lexers import JavascriptLexer, JsonLexer, PythonLexer
from pygments.lexers.shell import BashLexer
from pygments.lexers.sql import SqlLexer
from pygments.token import Name

from db.migrations import Migration, Report, apply, find_migrations
from db.schema import Thing, things
from db.script import first_comment
from db.statements import PARAMETER

HOME = Path(__file__).parent.parent
SCHEMA = HOME / "schema"

# What may be read: code that a request passes through. Never data, settings, or what happens to lie beside them.
_MODULES = """
    app audit cache config files framing health limits logs metrics middleware openapi passwords serve throttle worker
""".split()
_FOLDERS = ("db", "handlers", "plugins")


class _Sql(SqlLexer):  # type: ignore[misc]
    tokens = {"root": [(r":[A-Za-z_]\w*", Name.Variable), inherit]}  # noqa: RUF012 (as Pygments has it)


_LEXERS = {"sql": _Sql, "python": PythonLexer, "json": JsonLexer, "javascript": JavascriptLexer, "shell": BashLexer}


def code(text: str, language: str, lines: str = "") -> str:
    """The text as highlighted HTML. With `lines`, each line is numbered and has that and its number as its id."""
    marked = str(highlight(text, _LEXERS[language](stripnl=False), HtmlFormatter(nowrap=True)))
    if not lines:
        return marked
    return "".join(f'<span id="{lines}-{n}">{line}\n</span>' for n, line in enumerate(marked.splitlines(), 1))


def readable() -> dict[str, Path]:
    """The files that the pages show, by their path within the project."""
    paths = [HOME / f"{name}.py" for name in _MODULES]
    paths += [path for folder in _FOLDERS for path in sorted((HOME / folder).glob("*.py"))]
    return {path.relative_to(HOME).as_posix(): path for path in paths if path.exists()}


def place(file: str, name: str) -> int:
    """The line on which the definition of a function or a class begins. Raises StopIteration where there is none."""
    lines = readable()[file].read_text(encoding="utf-8-sig").splitlines()
    return next(n for n, line in enumerate(lines, 1) if re.match(rf"\s*(def|class) {name}\b", line))


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
    """What the header of a SQL file says of each parameter; "" where it gives the type alone.

    Lines that are indented further than the name belong to the parameter above them."""
    found: dict[str, str] = {}
    name = ""
    for line in first_comment(script).splitlines():
        if parameter := PARAMETER.match(line):
            name = parameter[1]
            found[name] = line[parameter.end() :].strip()
        elif name and re.match(r"--\s{6,}\S", line):
            found[name] = f"{found[name]} {line.removeprefix('--').strip()}".strip()
        else:
            name = ""
    return found
