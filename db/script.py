"""SQL text as people write it in files: statements, and the lines on which they stand."""

import re
import sqlite3
from collections.abc import Iterator
from typing import NamedTuple

# What may hold anything without being code: comments and quoted text.
_COMMENT_OR_TEXT = re.compile(r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'", re.DOTALL)


class Statement(NamedTuple):
    """One statement: its text, comments included, and the line of the file on which that begins."""

    sql: str
    line: int

    @property
    def first_line(self) -> int:
        """The line of the first word that is not a comment."""
        code = blank_comments(self.sql)
        return self.line + code[: len(code) - len(code.lstrip())].count("\n")

    def line_of(self, error: sqlite3.Error) -> int:
        """The line that SQLite's message speaks of, where it quotes a word of the statement; else `first_line`.

        Python 3.11 does not pass on the offset that SQLite knows."""
        quoted = re.search(r'(?:near "|no such \w+: |ambiguous column name: )([^"\s]+)', str(error))
        if quoted:
            place = re.search(rf"(?<![\w.]){re.escape(quoted[1])}(?!\w)", blank_comments(self.sql))
            if place:
                return self.line + self.sql.count("\n", 0, place.start())
        return self.first_line


def split(script: str) -> Iterator[Statement]:
    """The statements of a script in order, semicolons included.

    SQLite itself says where one ends, so semicolons in comments, texts and triggers do not count. What
    follows the last semicolon is a statement too, unless it is only comments."""
    begin = 0
    for semicolon in re.finditer(";", script):
        if sqlite3.complete_statement(script[begin : semicolon.end()]):
            yield Statement(script[begin : semicolon.end()], script.count("\n", 0, begin) + 1)
            begin = semicolon.end()
    if blank_comments(script[begin:]).strip():
        yield Statement(script[begin:], script.count("\n", 0, begin) + 1)


def blank_comments(sql: str) -> str:
    """The same text, every character of a comment replaced by a blank: all else keeps its place."""
    return _COMMENT_OR_TEXT.sub(lambda match: match[0] if match[0][0] == "'" else _blank(match[0]), sql)


def code_only(sql: str) -> str:
    """The same text with comments and quoted texts replaced by blanks."""
    return _COMMENT_OR_TEXT.sub(lambda match: _blank(match[0]), sql)


def _blank(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)
