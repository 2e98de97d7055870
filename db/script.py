"""SQL text as people write it in files: statements, and the lines on which they stand."""

import re
import sqlite3
from bisect import bisect
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from db.errors import StartupError

# What may hold anything without being code: comments and quoted text. SQLite takes a byte order mark for a blank,
# wherever it is: files that were joined have several.
_COMMENT_OR_TEXT = re.compile(r"\ufeff|--[^\n]*|/\*.*?(?:\*/|\Z)|'(?:[^']|'')*'", re.DOTALL)

# Where a semicolon ends no statement: the same, quoted names, and what is never closed.
_OPAQUE = re.compile(
    r"""\ufeff|--[^\n]*|/\*.*?(?:\*/|\Z)|'[^']*(?:'|\Z)|"[^"]*(?:"|\Z)|`[^`]*(?:`|\Z)|\[[^]]*(?:\]|\Z)""", re.DOTALL
)
_TRIGGER = re.compile(r"\s*CREATE\s+(?:TEMP\s+|TEMPORARY\s+)?TRIGGER\b", re.IGNORECASE)
_END_OF_TRIGGER = re.compile(r";\s*END\s*;", re.IGNORECASE)

# The word of a statement that SQLite's message quotes.
_QUOTED = re.compile(
    r'(?:near "|unrecognized token: "|no such \w+: |ambiguous column name: |has no column named )([^"\s]+)'
)


class Statement(NamedTuple):
    """One statement: its text, comments included, and the line of the file on which that begins."""

    sql: str
    line: int

    @property
    def first_line(self) -> int:
        """The line of the first word that is not a comment."""
        code = blank_comments(self.sql)
        return self.line_at(len(code) - len(code.lstrip()))

    def line_at(self, place: int) -> int:
        """The line of a place in `sql`."""
        return self.line + self.sql.count("\n", 0, place)

    def line_of(self, error: sqlite3.Error) -> int:
        """The line that SQLite's message speaks of, where it quotes a word of the statement; else `first_line`.

        Python 3.11 does not pass on the offset that SQLite knows."""
        quoted = _QUOTED.search(str(error))
        places = list(_places(quoted[1], self.sql)) if quoted else []
        if "syntax error" in str(error):  # at the first place; whatever begins like that has the same error
            places = places[bisect(places, False, key=lambda place: _breaks_at(self.sql[: place.end()], error)) :]
        return self.line_at(places[0].start()) if places else self.first_line


def split(script: str) -> Iterator[Statement]:
    """The statements of a script in order, semicolons included.

    Semicolons in comments, texts and quoted names do not count, and a trigger ends with END. (So says SQLite's
    sqlite3_complete(), which would have to read a long statement once for each semicolon in it.) What follows the
    last semicolon is a statement too, unless it is only comments."""
    code = _OPAQUE.sub(lambda match: ("x" if match[0][0] in "'\"`[" else " ") * len(match[0]), script)
    begin, line = 0, 1
    while end := _end_of_statement(code, begin):
        yield Statement(script[begin:end], line)
        line += script.count("\n", begin, end)
        begin = end
    if blank_comments(script[begin:]).strip():
        yield Statement(script[begin:], line)


def _end_of_statement(code: str, begin: int) -> int:
    """The place behind the statement that begins there; 0 where it has no end."""
    if _TRIGGER.match(code, begin):
        found = _END_OF_TRIGGER.search(code, begin)
        return found.end() if found else 0
    return code.find(";", begin) + 1


def _places(quoted: str, sql: str) -> Iterator[re.Match[str]]:
    """Where a word stands in a statement: a name on its own, or else the characters wherever they are code."""
    if re.match(r"\w", quoted):
        # Neither a part of a longer name, nor a parameter, nor within a text.
        return re.finditer(rf"(?<![\w.:@$]){re.escape(quoted)}(?!\w)", code_only(sql))
    return re.finditer(re.escape(quoted), blank_comments(sql))


def _breaks_at(beginning: str, error: sqlite3.Error) -> bool:
    """Whether the beginning of a statement meets a syntax error already."""
    with closing(sqlite3.connect(":memory:")) as nowhere:
        try:
            nowhere.execute("EXPLAIN " + beginning)
        except sqlite3.Error as same:
            return str(same) == str(error)
    return False


def read_script(path: Path) -> str:
    """The text of a file. Raises StartupError where it is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8-sig")  # without the byte order mark that some editors write
    except UnicodeDecodeError as error:
        raise StartupError(f"{path}: not UTF-8 text: {error.reason} at byte {error.start}") from error


def visible(folder: Path, pattern: str) -> list[Path]:
    """The paths in order, without the hidden files and folders that editors and macOS leave beside them."""
    found = (path.relative_to(folder) for path in folder.glob(pattern))
    return [folder / path for path in sorted(found) if not any(part.startswith(".") for part in path.parts)]


def first_comment(script: str) -> str:
    """What stands before the first statement."""
    return script[: len(script) - len(blank_comments(script).lstrip())]


def blank_comments(sql: str) -> str:
    """The same text, each character of a comment and each byte order mark replaced by a blank: all else keeps its
    place."""
    return _COMMENT_OR_TEXT.sub(lambda match: match[0] if match[0][0] == "'" else _blank(match[0]), sql)


def code_only(sql: str) -> str:
    """The same text with comments and quoted texts replaced by blanks."""
    return _COMMENT_OR_TEXT.sub(lambda match: _blank(match[0]), sql)


def _blank(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)
