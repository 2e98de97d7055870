"""The words of a text, for the search: articles and queries are normalized alike, before SQLite gets them.

The database's own tokenizer only splits at blanks, so that neither its version nor its language matters."""

import re
import unicodedata
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from db import Database

# Bounds on what one text can cost. Longer words are cut; a body of 1 MB of English has about 15,000 distinct words.
_LONGEST_WORD = 64
_MOST_WORDS = 50_000
_MOST_QUERIED = 8

# Letters that Unicode does not decompose. Those named "… WITH STROKE", "… WITH HOOK" and so on need no entry.
# The apostrophes that count as letters separate words like all others.
_LETTERS = {"æ": "ae", "œ": "oe", "þ": "th", "ð": "d", "ı": "i", "ŋ": "n", "ĸ": "k", "ȷ": "j", "ʼ": " ", "ʻ": " "}

# Invisible within a word: variation selectors, fillers, the Arabic elongation. Category Cf holds the others.
_IGNORED = re.compile(
    "[\u034f\u0640\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_ZERO_WIDTH_SPACE = "\u200b"

# Combining classes of viramas and vowel signs; the other combining characters are diacritics.
_VOWEL_SIGNS = {0, 9, 84, 91, 103, 118, 129, 130, 132}

# Scripts without blanks between words: Thai, Lao, Burmese, Khmer, kana, bopomofo, Chinese characters.
_UNSEGMENTED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3031-\u312f\u31a0-\u31bf\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\ua9e0-\ua9ff\uaa60-\uaa7f\uf900-\ufaff\U0001aff0-\U0001b16f\U00020000-\U0003ffff"
)
_RUN = re.compile(rf"([{_UNSEGMENTED}]+)|[^{_UNSEGMENTED} ]+")


class _Normalized(dict[int, str]):
    """What str.translate() puts in the place of each character.

    One character at a time: the time is linear, whereas normalizing a run of combining marks takes its square."""

    def __missing__(self, code: int) -> str:
        text = chr(code)
        for _ in range(2):
            text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
        normalized = "".join(map(_letter, text))
        if len(self) < 20_000:
            self[code] = normalized
        return normalized


_NORMALIZED = _Normalized()


def _letter(char: str) -> str:
    """A letter without its stroke or hook, nothing for a mark, a blank for what separates words."""
    category = unicodedata.category(char)
    if char in _LETTERS:
        return _LETTERS[char]
    if char == _ZERO_WIDTH_SPACE:
        return " "
    if category in ("Cf", "Me") or unicodedata.combining(char) not in _VOWEL_SIGNS or _IGNORED.match(char):
        return ""
    if category == "So":  # an emoji is a word
        return f" {char} "
    base, _, sign = unicodedata.name(char, "").partition(" WITH ")
    if category[0] == "L" and sign:
        try:
            return _letter(unicodedata.lookup(base))
        except KeyError:
            return char
    return char if category[0] in "LNM" else " "


def words(text: str) -> str:
    """The distinct words of a text, separated by blanks; the first 50,000 of them.

    Compatibility forms, case and diacritics are removed (NFKC, case folding; ł is l). In scripts without blanks, each
    character is a word, and each two that follow one another."""
    return " ".join(_first(_MOST_WORDS, _words(text, alone=True)))


def query(text: str) -> str:
    """Any text as a query of FTS5 for its first eight words; operators mean nothing in it.

    Words of two letters or more also stand for the words that begin with them. Without a word it finds nothing."""
    found = _first(_MOST_QUERIED, _words(text, alone=False))
    return " ".join(f'"{word}"{_prefix(word)}' for word in found) or '""'


def _prefix(word: str) -> str:
    return "*" if len(word) > 1 and not _RUN.match(word)[1] else ""  # type: ignore[index]


def _first(most: int, found: Iterator[str]) -> dict[str, None]:
    distinct: dict[str, None] = {}
    for word in found:
        distinct[word] = None
        if len(distinct) == most:
            break
    return distinct


def _words(text: str, *, alone: bool) -> Iterator[str]:
    """Each word. `alone`: where characters go in pairs, each one by itself as well."""
    for run in _RUN.finditer(text.translate(_NORMALIZED)):
        pairs = run[1]
        if not pairs:
            yield run[0][:_LONGEST_WORD]
            continue
        if alone or len(pairs) == 1:
            yield from pairs
        yield from map("".join, pairwise(pairs))


def search_index(title: str | None, description: str | None, body: str | None) -> dict[str, str | None]:
    """The parameters of sql/articles/index.sql for these texts; None leaves what is there."""
    texts = {"title_words": title, "description_words": description, "body_words": body}
    return {name: None if text is None else words(text) for name, text in texts.items()}


def wrongly_indexed(db: Database) -> Iterator[dict[str, Any]]:
    """Rows of sql/articles/indexed.sql, of articles whose words in the search index are not those of their texts."""
    last = 0
    while True:
        columns, rows = db.rows("articles/indexed", after=last)
        for row in (dict(zip(columns, values, strict=True)) for values in rows):
            last = row["id"]
            expected = search_index(row["title"], row["description"], row["body"])
            if row["slug"] is None or any(row[name] != value for name, value in expected.items()):
                yield row
        if not rows:
            return


def index(db: Database, row: dict[str, Any]) -> None:
    """Bring the search index up to date for a row of sql/articles/indexed.sql."""
    if row["slug"] is None:
        db.write("articles/unindex", id=row["id"])
    else:
        texts = search_index(row["title"], row["description"], row["body"])
        db.write("articles/index", slug=row["slug"], me=row["author_id"], **texts)
