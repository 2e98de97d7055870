"""Clients that write at random and keep a journal of acknowledged writes, which the database must hold afterwards."""

import http.client
import itertools
import json
import os
import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event
from typing import Any

from tests.conftest import PASSWORD
from tests.system.test_server import ask

# The duration of `make soak`; 0 in the short form.
MINUTES = float(os.environ.get("MINUTES", "0"))

SETTINGS = {"ROWBOAT_POSTS_PER_HOUR": "1000000"}

Key = tuple[str, ...]


def rounds(short: int, share: float) -> Iterator[random.Random]:
    """A random generator for each round: so many fixed seeds in the short form; new seeds for a share of MINUTES."""
    end = time.monotonic() + share * 60 * MINUTES
    for number in itertools.count():
        if number >= short and time.monotonic() >= end:
            print(f"{number} rounds")
            return
        seed = time.time_ns() if MINUTES else number
        print(f"round {number}, seed {seed}")
        yield random.Random(seed)


class Client:
    """A user who writes, and notes the values that each thing may have now: several after a write without response."""

    def __init__(self, name: str, crowd: "Crowd") -> None:
        self.name = name
        self.may_be: dict[Key, set[Any]] = {}
        self.acknowledged = self.refused = self.unanswered = 0
        self.first_slug = ""  # of the article that is never deleted
        self._slugs: dict[str, str] = {}  # of the other articles, by description
        self._crowd = crowd
        self._token = ""
        self._numbers = itertools.count()
        self._connection: http.client.HTTPConnection | None = None

    def register(self) -> None:
        """Open an account, and publish an article for others to like."""
        user = {"username": self.name, "email": f"{self.name}@example.org", "password": PASSWORD}
        self._token = self._change(("user", self.name), True, "POST", "/users", {"user": user})["user"]["token"]
        self._save(self.name, random.Random(self.name), "POST", "/articles")
        self.first_slug = self._slugs.pop(self.name)

    def connect(self, port: int) -> None:
        """Raises OSError where no server listens."""
        if not self._connection:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            connection.connect()
            self._connection = connection

    def leave(self) -> None:
        """Close the connection."""
        if self._connection:
            self._connection.close()
            self._connection = None

    def write(self, other: "Client", chance: random.Random) -> None:
        """Do one thing, perhaps to the first article of another user."""
        favorite, article = ("favorite", self.name, other.name), f"/articles/{other.first_slug}"
        match chance.choice(["publish", "change", "comment", "describe", "favorite", "unfavorite"]):
            case "change" if self._slugs:
                about, slug = chance.choice([*self._slugs.items()])
                if chance.random() < 0.5:
                    self._save(about, chance, "PUT", f"/articles/{slug}")
                else:
                    self._change(("article", about), None, "DELETE", f"/articles/{self._slugs.pop(about)}")
            case "publish" | "change":
                self._save(f"{self.name} {next(self._numbers)}", chance, "POST", "/articles")
            case "comment":
                body = f"{self.name} says {next(self._numbers)}"
                self._change(("comment", body), True, "POST", f"{article}/comments", {"comment": {"body": body}})
            case "describe":
                bio = f"Rows {chance.randrange(10**9)}"
                self._change(("bio", self.name), bio, "PUT", "/user", {"user": {"bio": bio}})
            case "favorite":
                self._change(favorite, True, "POST", f"{article}/favorite")
            case "unfavorite":
                self._change(favorite, None, "DELETE", f"{article}/favorite")

    def _save(self, about: str, chance: random.Random, method: str, path: str) -> None:
        title = f"Rowing {chance.randrange(10**6)}"
        body = f"Text {chance.randrange(10**9)}. " * chance.randrange(1, 300)
        tags = chance.sample([f"tag{number}" for number in range(12)], chance.randrange(4))
        article = {"title": title, "description": about, "body": body, "tagList": tags}
        answer = self._change(("article", about), (title, body, *tags), method, path, {"article": article})
        if answer and method == "POST":
            self._slugs[about] = answer["article"]["slug"]

    def _change(self, key: Key, new: Any, method: str, path: str, body: Any = None) -> Any:
        """Send a write that makes something `new` (None: gone). Its response, or None if it was not acknowledged."""
        assert self._connection
        before = self.may_be.get(key, {None})
        self.may_be[key] = before | {new}
        headers = {"authorization": f"Token {self._token}"} if self._token else {}
        try:
            status, answer = ask(self._connection, method, f"/api{path}", body, **headers)
        except (OSError, http.client.HTTPException):
            self.leave()
            self.unanswered += 1
            return None
        if status == 503:
            if self._crowd.trusts_503:
                self.may_be[key] = before
            self.refused += 1
            return None
        assert status < 300, f"{method} {path}: {status} {answer}"
        self.may_be[key] = {new}
        self.acknowledged += 1
        return answer or {}


class Crowd:
    """Sixteen clients at once."""

    def __init__(self) -> None:
        self.clients = [Client(f"client{number}", self) for number in range(16)]
        self.trusts_503 = True  # a write that is answered with 503 is not stored

    def __getattr__(self, name: str) -> int:
        """The sum of the clients' `acknowledged`, `refused` (503) or `unanswered` writes."""
        return sum(getattr(client, name) for client in self.clients)

    def has_written(self, count: int) -> Callable[[], bool]:
        """A function that tells whether each of them had so many writes acknowledged since this call."""
        goals = [client.acknowledged + count for client in self.clients]
        return lambda: all(client.acknowledged >= goal for client, goal in zip(self.clients, goals, strict=True))

    @contextmanager
    def writing(self, port: int, chance: random.Random) -> Iterator[None]:
        """All of them write meanwhile; they connect again when they lose their connection."""
        for client in self.clients:
            if not client.first_slug:
                client.connect(port)
                client.register()
        enough = Event()
        with ThreadPoolExecutor(len(self.clients)) as threads:
            running = [threads.submit(self._write, each, chance.random(), port, enough) for each in self.clients]
            try:
                yield
            finally:
                enough.set()
            for each in running:
                each.result()

    def _write(self, client: Client, seed: float, port: int, enough: Event) -> None:
        chance = random.Random(seed)
        try:
            while not enough.is_set():
                try:
                    client.connect(port)
                except OSError:
                    time.sleep(0.02)
                else:
                    client.write(chance.choice(self.clients), chance)
        finally:
            client.leave()

    def require_stored(self, database: Path) -> None:
        """All acknowledged writes are in the database, whole, and nothing is that no client sent."""
        found = stored(database)
        known: set[Key] = set()
        for client in self.clients:
            known |= client.may_be.keys()
            for key, values in client.may_be.items():
                assert found.get(key) in values, f"{key} is {found.get(key)!r}, and may be {values!r}"
                client.may_be[key] = {found.get(key)}
        assert [key for key, value in found.items() if value is not None and key not in known] == []


def stored(database: Path) -> dict[Key, Any]:
    """The content of the database by the keys of the journals. A thing that is half there has a value of its own."""
    with closing(sqlite3.connect(database)) as connection:
        rows = connection.execute(
            """SELECT description, json_array(title, articles.body),
                      (SELECT json_group_array(name) FROM (SELECT name FROM article_tags JOIN tags ON tags.id = tag_id
                                                            WHERE article_id = articles.id ORDER BY position)),
                      EXISTS (SELECT 1 FROM slugs WHERE article_id = articles.id AND slugs.slug = articles.slug)
                 FROM articles"""
        ).fetchall()
        found: dict[Key, Any] = {
            ("article", about): (*json.loads(texts), *json.loads(tags)) if has_slug else "without its slug"
            for about, texts, tags, has_slug in rows
        }
        for sql in (
            "SELECT iif(EXISTS (SELECT 1 FROM sessions WHERE user_id = users.id), 1, 0), 'user', username FROM users",
            "SELECT bio, 'bio', username FROM users",
            "SELECT 1, 'comment', body FROM comments",
            """SELECT 1, 'favorite', users.username, authors.username FROM favorites
                 JOIN users ON users.id = user_id
                 JOIN articles ON articles.id = article_id
                 JOIN users AS authors ON authors.id = author_id""",
        ):
            found |= {tuple(key): value for value, *key in connection.execute(sql)}
    return found
