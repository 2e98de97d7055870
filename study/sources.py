"""Files of the project as people read them: highlighted, line by line, and where in them something stands."""

import re
from pathlib import Path

from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexer import inherit
from pygments.lexers import JavascriptLexer, JsonLexer, PythonLexer
from pygments.lexers.shell import BashLexer
from pygments.lexers.sql import SqlLexer
from pygments.token import Name

HOME = Path(__file__).parent.parent

# What may be read: code that a request passes through. Never data, settings, or what happens to lie beside them.
_MODULES = """
    app audit cache config framing health logs metrics middleware openapi passwords serve throttle worker
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
    lines = readable()[file].read_text(encoding="utf-8").splitlines()
    return next(n for n, line in enumerate(lines, 1) if re.match(rf"\s*(def|class) {name}\b", line))
