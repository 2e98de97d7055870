"""What is asked of a generated database: for each route one request that is repeated, and many that differ.

The lists have the same form at every size: full pages, the same offsets, so that sizes can be compared."""

import base64
import json
import random
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from bench.generate import PASSWORD, SESSIONS, email_of, token_of
from bench.texts import TOPICS, Texts
from handlers.fields import MOST_BYTES

# How many requests differ, at most. A number that wrk adds to each (requests.lua) makes each round never-seen again.
_MOST = 1000
_DEEPEST_OFFSET = 500

_PAGE = 20
_ENDLESS = 2**63 - 1
_NOW = "2026-01-31T12:00:00.000Z"

READS = ["articles", "articles with token", "tag", "author", "favorited", "feed", "article", "comments", "tags"]
WRITES = ["comment", "favorite", "login"]
DEEP = "deep page by cursor"
SEARCH = "search"

# What only Rowboat and the SQL limit answer.
ROWBOAT_ONLY = {DEEP, SEARCH, "favorite", "login"}


@dataclass(frozen=True)
class Request:
    """One request, and the SQL files that answer it, with their parameters."""

    path: str
    files: tuple[str, ...]
    parameters: dict[str, Any] = field(default_factory=dict)
    method: str = "GET"
    token: str = ""
    body: str = ""

    def line(self) -> str:
        """The request as requests.lua reads it."""
        return "\t".join((self.method, self.path, self.token, self.body))

    def by(self, user: int) -> "Request":
        """The same request with a user's token."""
        token_hash = sha256(token_of(user).encode()).hexdigest()
        session = {"token_hash": token_hash, "expired": _NOW, "touch_before": _NOW, "now": _NOW}
        return replace(
            self,
            files=("sessions/find", *self.files),
            parameters=self.parameters | session | {"me": user},
            token=token_of(user),
        )


@dataclass(frozen=True)
class Workload:
    """The requests of one database by route: `repeated` is one, `never_seen` are many in a random order."""

    repeated: dict[str, Request]
    never_seen: dict[str, list[Request]]

    def save(self, folder: Path) -> None:
        """Write the files that requests.lua and contestants/sql_limit.py read."""
        folder.mkdir(parents=True, exist_ok=True)
        for route, request in self.repeated.items():
            _write(folder, route, "repeated", [request])
        for route, requests in self.never_seen.items():
            _write(folder, route, "never seen", requests)
        reads = [request for route in READS for request in self.never_seen.get(route, [])]
        random.Random("mixed").shuffle(reads)
        (folder / "mixed-never-seen.tsv").write_text("".join(f"{request.line()}\n" for request in reads))


def file_of(folder: Path, route: str, mode: str) -> Path:
    """Where `save` puts the requests of a route; `mode` is "repeated" or "never seen"."""
    return folder / f"{route}-{mode}.tsv".replace(" ", "-")


def _write(folder: Path, route: str, mode: str, requests: Iterable[Request]) -> None:
    path = file_of(folder, route, mode)
    path.write_text("".join(f"{request.line()}\n" for request in requests))
    path.with_suffix(".json").write_text(json.dumps([asdict(request) for request in requests]))


def make(database: Path) -> Workload:
    """The workload of a generated database."""
    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        return _Maker(connection).make()


class _Maker:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._chance = random.Random("workload")
        self._articles = [slug for (slug,) in self._sample("articles", "slug")]
        self._newest: int = self._rows("SELECT max(id) FROM articles")[0][0]

    def make(self) -> Workload:
        texts = Texts()
        everything = {
            "articles": [_listing(offset) for offset in range(_DEEPEST_OFFSET)],
            "articles with token": [_listing(offset).by(1 + offset % SESSIONS) for offset in range(_DEEPEST_OFFSET)],
            "tag": self._filtered("tag", "SELECT name, articles_count FROM tags"),
            "author": self._filtered("author", "SELECT username, articles_count FROM users"),
            "favorited": self._filtered("favorited", "SELECT username, favorites_count FROM users"),
            "feed": [_feed(offset).by(user) for user in range(1, SESSIONS + 1) for offset in range(_PAGE)],
            "article": [_article(slug) for slug in self._articles],
            "comments": [_comments(slug) for slug in self._articles],
            "tags": [Request("/api/tags", ("tags/list",))],
            DEEP: [self._deep() for _ in range(_MOST)],
            SEARCH: [_search(*texts.topic(topic, variant)) for topic in range(TOPICS) for variant in range(4)],
            "comment": [self._by_anyone(_comment(slug, n)) for n, slug in enumerate(self._articles)],
            "favorite": [self._by_anyone(_favorite(slug)) for slug in self._articles],
            "login": [self._login(user) for user in range(1, SESSIONS + 1)],
        }
        for requests in everything.values():
            self._chance.shuffle(requests)
        repeated = {route: requests[0] for route, requests in everything.items() if route not in (*WRITES, DEEP)}
        repeated["articles"] = _listing(0)
        repeated["articles with token"] = _listing(0).by(1)
        never_seen = {route: requests[:_MOST] for route, requests in everything.items() if route != "tags"}
        return Workload(repeated, never_seen)

    def _rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql).fetchall()

    def _sample(self, table: str, columns: str) -> list[tuple[Any, ...]]:
        """Rows from all over a table, the same each time."""
        (most,) = self._rows(f"SELECT max(id) FROM {table}")[0]
        ids = self._chance.sample(range(1, most + 1), min(most, _MOST))
        return self._rows(f"SELECT {columns} FROM {table} WHERE id IN ({', '.join(map(str, ids))}) ORDER BY id")

    def _filtered(self, name: str, counts: str) -> list[Request]:
        """Full pages of listings with one filter, by each name in turn."""
        names = [row for row in self._rows(f"{counts} ORDER BY id") if row[1] > _PAGE]
        self._chance.shuffle(names)
        pages: list[Request] = []
        for offset in range(_DEEPEST_OFFSET):
            pages += [_listing(offset, **{name: value}) for value, count in names if count >= offset + _PAGE]
            if len(pages) >= _MOST:
                break
        return pages[:_MOST]

    def _deep(self) -> Request:
        before = self._chance.randint(_PAGE + 1, self._newest)
        cursor = base64.urlsafe_b64encode(f"before:{before}".encode()).decode().rstrip("=")
        return replace(_listing(0, before=before), path=f"/api/articles?limit={_PAGE}&cursor={cursor}")

    def _by_anyone(self, request: Request) -> Request:
        return request.by(self._chance.randint(1, SESSIONS))

    def _login(self, user: int) -> Request:
        username, email_key, password_hash = self._rows(
            f"SELECT username, email_key, password_hash FROM users WHERE id = {user:d}"
        )[0]
        body = json.dumps({"user": {"email": email_of(username), "password": PASSWORD}})
        parameters = {"email_key": email_key, "password_hash": password_hash, "token": "", "now": _NOW}
        files = ("users/find_credentials", "sessions/create", "users/render")
        return Request("/api/users/login", files, parameters, "POST", body=body)


def _listing(offset: int, before: int = _ENDLESS, **filters: str) -> Request:
    query = "&".join(f"{name}={value}" for name, value in filters.items())
    path = f"/api/articles?limit={_PAGE}&offset={offset}" + (f"&{query}" if query else "")
    parameters = {"before": before, "limit": _PAGE, "offset": offset, "most_bytes": MOST_BYTES, **filters}
    return Request(path, ("articles/find" if filters else "articles/newest", "articles/list"), parameters)


def _feed(offset: int) -> Request:
    parameters = {"before": _ENDLESS, "limit": _PAGE, "offset": offset, "most_bytes": MOST_BYTES}
    path = f"/api/articles/feed?limit={_PAGE}&offset={offset}"
    return Request(path, ("articles/feed", "articles/list"), parameters)


def _article(slug: str) -> Request:
    return Request(f"/api/articles/{slug}", ("articles/render",), {"slug": slug})


def _comments(slug: str) -> Request:
    parameters = {"slug": slug, "before": _ENDLESS, "limit": 1000, "most_bytes": MOST_BYTES}
    return Request(f"/api/articles/{slug}/comments", ("comments/find", "comments/render"), parameters)


def _search(*words: str) -> Request:
    query = " ".join(f'"{word}"*' for word in words)
    filters = {"words": query, "tag": None, "author": None, "favorited": None}
    parameters = {**filters, "limit": _PAGE, "offset": 0, "most_bytes": MOST_BYTES}
    return Request(f"/api/articles?q={'+'.join(words)}", ("articles/search", "articles/list"), parameters)


def _comment(slug: str, number: int) -> Request:
    text = f"What stands under number {number} is worth a second look."
    parameters = {"slug": slug, "body": text, "now": _NOW}
    files = ("articles/must_exist", "comments/create", "comments/render")
    body = json.dumps({"comment": {"body": text}})
    return Request(f"/api/articles/{slug}/comments", files, parameters, "POST", body=body)


def _favorite(slug: str) -> Request:
    parameters = {"slug": slug, "now": _NOW}
    return Request(f"/api/articles/{slug}/favorite", ("articles/favorite", "articles/render"), parameters, "POST")
