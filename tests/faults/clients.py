"""Clients that write at random and keep a journal of what was acknowledged, which the database must hold afterwards."""

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
from tests.test_server import ask

# For so long `make soak` runs; 0 in the short form.
MINUTES = float(os.environ.get("MINUTES", "0"))

SETTINGS = {"ROWBOAT_POSTS_PER_HOUR": "1000000"}

Key = tuple[str, ...]


def rounds(short: int, share: float) -> Iterator[random.Random]:
    """The chances of each round: so many in the short form, always the same; others for this share of MINUTES."""
    end = time.monotonic() + share * 60 * MINUTES
    for number in itertools.count():
        if number >= short and time.monotonic() >= end:
            print(f"{number} rounds")
            return
        seed = time.time_ns() if MINUTES else number
        print(f"round {number}, seed {seed}")
        yield random.Random(seed)


class Client:
    """Somebody who writes, and notes what each thing may be now: several values where a write was not answered."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.trusts_503 = True  # that it stored nothing
        self.may_be: dict[Key, set[Any]] = {}
        self.acknowledged = 0
        self.refused = 0
        self.unanswered = 0
        self._token = ""
        self._numbers = itertools.count()
        self._connection: http.client.HTTPConnection | None = None
        self._slugs: dict[str, str] = {}  # of the own articles, by description
        self._comments: dict[str, str] = {}  # paths of the own comments, by body

    def register(self) -> str:
        """Open an account, and publish an article that stays, for others to like; its slug."""
        user = {"username": self.name, "email": f"{self.name}@example.org", "password": PASSWORD}
        self._token = self._change(("user", self.name), True, "POST", "/users", {"user": user})["user"]["token"]
        self._publish(random.Random(self.name))
        return self._slugs[f"{self.name} 0"]

    def connect(self, port: int) -> None:
        """Raises OSError where nobody listens."""
        if not self._connection:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            connection.connect()
            self._connection = connection

    def leave(self) -> None:
        """Close the connection."""
        if self._connection:
            self._connection.close()
            self._connection = None

    def write(self, name: str, slug: str, chance: random.Random) -> None:
        """Do one thing; `name` is that of somebody, who has an article with that slug."""
        acts = [self._publish, self._edit, self._delete, self._tell, self._withdraw, self._describe]
        what = chance.choices(["own", "favorite", "follow", "register"], [60, 20, 19, 1])[0]
        if what == "own":
            chance.choice(acts)(chance)
        elif what == "favorite":
            self._switch(("favorite", self.name, name), f"/articles/{slug}/favorite", chance)
        elif what == "follow" and name != self.name:
            self._switch(("follow", self.name, name), f"/profiles/{name}/follow", chance)
        elif what == "register":
            friend = f"{self.name}friend{next(self._numbers)}"
            user = {"username": friend, "email": f"{friend}@example.org", "password": PASSWORD}
            self._change(("user", friend), True, "POST", "/users", {"user": user})

    def _publish(self, chance: random.Random) -> None:
        about = f"{self.name} {next(self._numbers)}"
        article, body = _article(about, chance)
        answer = self._change(("article", about), article, "POST", "/articles", body)
        if answer:
            self._slugs[about] = answer["article"]["slug"]

    def _edit(self, chance: random.Random) -> None:
        about = chance.choice(list(self._slugs))
        article, body = _article(about, chance)
        self._change(("article", about), article, "PUT", f"/articles/{self._slugs[about]}", body)

    def _delete(self, chance: random.Random) -> None:
        _, *others = self._slugs
        if others:
            about = chance.choice(others)
            slug = self._slugs.pop(about)
            self._change(("article", about), None, "DELETE", f"/articles/{slug}")
            article = self.may_be["article", about]
            for key in [key for key in self.may_be if key[0] == "comment" and key[1].endswith(f" on {about}")]:
                self._comments.pop(key[1], None)
                if None in article:  # the comment goes with it
                    self.may_be[key] = {None} if article == {None} else self.may_be[key] | {None}

    def _tell(self, chance: random.Random) -> None:
        about, slug = chance.choice(list(self._slugs.items()))
        text = f"{self.name} tells {next(self._numbers)} on {about}"
        path = f"/articles/{slug}/comments"
        answer = self._change(("comment", text), True, "POST", path, {"comment": {"body": text}})
        if answer:
            self._comments[text] = f"{path}/{answer['comment']['id']}"

    def _withdraw(self, chance: random.Random) -> None:
        if self._comments:
            text = chance.choice(list(self._comments))
            self._change(("comment", text), None, "DELETE", self._comments.pop(text))

    def _describe(self, chance: random.Random) -> None:
        bio = f"Rows {chance.randrange(10**9)}"
        self._change(("bio", self.name), bio, "PUT", "/user", {"user": {"bio": bio}})

    def _switch(self, key: Key, path: str, chance: random.Random) -> None:
        is_on = chance.random() < 0.6
        self._change(key, True if is_on else None, "POST" if is_on else "DELETE", path)

    def _change(self, key: Key, new: Any, method: str, path: str, body: Any = None) -> Any:
        """Send a write that makes something `new`, None being gone; its answer, None where it was not acknowledged."""
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
            if self.trusts_503:
                self.may_be[key] = before
            self.refused += 1
            return None
        assert status < 300, f"{method} {path}: {status} {answer}"
        self.may_be[key] = {new}
        self.acknowledged += 1
        return answer or {}


def _article(about: str, chance: random.Random) -> tuple[Any, dict[str, Any]]:
    title, body = f"Rowing {chance.randrange(10**6)}", f"Text {chance.randrange(10**9)}. " * chance.randrange(1, 300)
    tags = chance.sample([f"tag{number}" for number in range(12)], chance.randrange(4))
    article = {"title": title, "description": about, "body": body, "tagList": tags}
    return (title, body, *tags), {"article": article}


class Crowd:
    """So many clients at once."""

    def __init__(self, size: int = 16) -> None:
        self.clients = [Client(f"client{number}") for number in range(size)]
        self._slugs: list[str] = []

    @property
    def acknowledged(self) -> int:
        """How many writes were acknowledged."""
        return sum(client.acknowledged for client in self.clients)

    @property
    def refused(self) -> int:
        """How many writes were answered with 503."""
        return sum(client.refused for client in self.clients)

    @property
    def unanswered(self) -> int:
        """How many writes got no answer, for the server died."""
        return sum(client.unanswered for client in self.clients)

    def has_written(self, count: int) -> Callable[[], bool]:
        """What tells whether each of them had so many writes acknowledged from now on."""
        before = [client.acknowledged for client in self.clients]
        return lambda: all(
            client.acknowledged >= earlier + count for client, earlier in zip(self.clients, before, strict=True)
        )

    def trust_503(self, is_so: bool) -> None:
        """Whether what is answered with 503 from now on is certain to be stored nowhere."""
        for client in self.clients:
            client.trusts_503 = is_so

    @contextmanager
    def writing(self, port: int, chance: random.Random) -> Iterator[None]:
        """All of them write in the meantime; they come back when they lose their connection."""
        if not self._slugs:
            for client in self.clients:
                client.connect(port)
                self._slugs.append(client.register())
        enough = Event()
        seeds = [chance.random() for _ in self.clients]
        with ThreadPoolExecutor(len(self.clients)) as threads:
            running = [
                threads.submit(self._write, *each, port, enough) for each in zip(self.clients, seeds, strict=True)
            ]
            try:
                yield
            finally:
                enough.set()
            for each in running:
                each.result()

    def _write(self, client: Client, seed: float, port: int, enough: Event) -> None:
        chance = random.Random(seed)
        while not enough.is_set():
            try:
                client.connect(port)
            except OSError:
                time.sleep(0.02)
                continue
            whose = chance.randrange(len(self._slugs))
            try:
                client.write(self.clients[whose].name, self._slugs[whose], chance)
            except AssertionError:
                client.leave()
                raise
        client.leave()

    def require_stored(self, database: Path) -> None:
        """Whatever was acknowledged is in the database, whole, and nothing is that was never asked for."""
        found = stored(database)
        known: set[Key] = set()
        for client in self.clients:
            known |= client.may_be.keys()
            for key, values in client.may_be.items():
                assert found.get(key) in values, f"{key} is {found.get(key)!r}, and may be {values!r}"
                client.may_be[key] = {found.get(key)}
        # Whoever has never written a biography has an empty one.
        assert [key for key, value in found.items() if value is not None and key not in known] == []
        require_noted(database)


def require_noted(database: Path) -> None:
    """The audit log has each account and each article that is gone, and calls nothing deleted that is there."""
    with closing(sqlite3.connect(database)) as connection:

        def ids(sql: str) -> list[int]:
            return sorted(each for (each,) in connection.execute(sql))

        def noted(column: str, action: str) -> list[int]:
            return ids(f"SELECT {column} FROM audit WHERE action = '{action}'")

        (published,) = ids("SELECT seq FROM sqlite_sequence WHERE name = 'articles'")  # no id is given twice
        there = ids("SELECT id FROM articles")
        assert sorted(there + noted("object_id", "article.delete")) == list(range(1, published + 1))
        assert noted("user_id", "user.register") == ids("SELECT id FROM users")
        assert not {*noted("object_id", "comment.delete")} & {*ids("SELECT id FROM comments")}


def stored(database: Path) -> dict[Key, Any]:
    """What the database holds, in the terms of the journals. A thing that is there by half has a value of its own."""
    with closing(sqlite3.connect(database)) as connection:
        articles = connection.execute(
            """SELECT description, title, articles.body,
                      (SELECT json_group_array(name) FROM (SELECT name FROM article_tags JOIN tags ON tags.id = tag_id
                                                            WHERE article_id = articles.id ORDER BY position)),
                      EXISTS (SELECT 1 FROM slugs WHERE article_id = articles.id AND slugs.slug = articles.slug)
                 FROM articles"""
        ).fetchall()
        users = connection.execute(
            "SELECT username, bio, EXISTS (SELECT 1 FROM sessions WHERE user_id = users.id) FROM users"
        ).fetchall()
        comments = connection.execute("SELECT body FROM comments").fetchall()
        favorites = connection.execute(
            """SELECT users.username, authors.username
                 FROM favorites
                 JOIN users ON users.id = user_id
                 JOIN articles ON articles.id = article_id
                 JOIN users AS authors ON authors.id = author_id"""
        ).fetchall()
        follows = connection.execute(
            """SELECT users.username, followed.username
                 FROM follows
                 JOIN users ON users.id = follower_id
                 JOIN users AS followed ON followed.id = followed_id"""
        ).fetchall()
    found: dict[Key, Any] = {}
    for about, title, body, tags, has_slug in articles:
        found["article", about] = (title, body, *json.loads(tags)) if has_slug else "without its slug"
    for name, bio, has_session in users:
        found["user", name] = True if has_session else "without a session"
        found["bio", name] = bio
    found |= {("comment", body): True for (body,) in comments}
    found |= {("favorite", *pair): True for pair in favorites}
    found |= {("follow", *pair): True for pair in follows}
    return found
