"""The fixtures: `api` and `db` with the people who use them, `clock`, and `commands` for the command line."""

import json
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urljoin

import pytest
from argon2 import PasswordHasher, extract_parameters
from webtest import TestApp, TestResponse

import app
import cleanup
import db.connection as connection_module
import db.database as db_module
import health
import passwords
from config import Config
from db import Database
from db.connection import connect
from db.migrations import migrate
from db.statements import SQLFile, load
from handlers.fields import fold
from tests.clock import ManualClock, guarded
from tests.commands import Commands
from tests.described import require_described

HOME = Path(app.__file__).parent
PASSWORD = "correct horse"
HASHER, NOBODYS_HASH = passwords._HASHER, passwords._NOBODYS_HASH
CONFIGURE = connection_module._configure
JSON = {"Content-Type": "application/json"}


@pytest.fixture(autouse=True)
def in_process() -> Iterator[None]:
    """No test sleeps, opens a socket, starts a process or reads the system's clock; those of tests/system/ may."""
    with guarded():
        yield


@pytest.fixture
def clock() -> ManualClock:
    """The time, which stands still until the test advances it."""
    return ManualClock()


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty migrated database, to be copied."""
    path = tmp_path_factory.mktemp("migrated") / "rowboat.db"
    migrate(path, HOME / "schema", clock=ManualClock())
    return path


@pytest.fixture(scope="session")
def sql_files(migrated: Path) -> dict[str, SQLFile]:
    """The files of sql/, compiled once: for each test anew, it takes longer than most tests."""
    with closing(connect(migrated)) as connection:
        return load(HOME / "sql", connection)


@pytest.fixture
def db(migrated: Path, sql_files: dict[str, SQLFile], tmp_path: Path, clock: ManualClock) -> Iterator[Database]:
    """A database of the test's own, empty."""
    path = tmp_path / "rowboat.db"
    shutil.copy(migrated, path)
    with pytest.MonkeyPatch.context() as patch:
        if db_module.load is load:  # tests/mutate_sql.py puts its own there
            patch.setattr(db_module, "load", lambda folder, connection: sql_files)
        database = Database(path, HOME / "sql", wait_s=60, clock=clock)  # however busy the machine is
    with closing(database):
        yield database


@pytest.fixture
def api(db: Database) -> "Api":
    """The API on `db`, called by nobody in particular."""
    return Api(TestApp(app.make_app(Config(), db)))


@pytest.fixture
def asks(db: Database) -> Callable[..., "Api"]:
    """A client of the API on `db`, by the address it asks from, the name of the host it asks, and the settings."""

    def client(address: str = "", host: str = "localhost:80", **settings: Any) -> Api:
        return Api(TestApp(app.make_app(Config(**settings), db), {"REMOTE_ADDR": address}), {"Host": host})

    return client


@pytest.fixture(scope="session", autouse=True)
def cheap_hashes() -> Iterator[None]:
    """Passwords are hashed in no time here: a third of the time of most tests went there. Servers hash as they do."""
    with pytest.MonkeyPatch.context() as patch:
        cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
        patch.setattr(passwords, "_HASHER", cheap)
        patch.setattr(passwords, "_NOBODYS_HASH", cheap.hash("nobody knows it"))
        yield


@pytest.fixture(scope="session", autouse=True)
def no_syncs() -> Iterator[None]:
    """Commits do not wait for the disk here; a third of the time of most tests went there. Servers wait."""

    def configure(connection: sqlite3.Connection, *arguments: Any) -> None:
        CONFIGURE(connection, *arguments)
        connection.execute("PRAGMA synchronous = OFF")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connection_module, "_configure", configure)
        yield


@pytest.fixture(scope="session", autouse=True)
def patience() -> Iterator[None]:
    """A check of /readyz waits for its turn, however busy the machine is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(health, "_PATIENCE_S", 60)
        yield


@pytest.fixture
def real_syncs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commits wait for the disk as those of servers do, for tests that look at it."""
    monkeypatch.setattr(connection_module, "_configure", CONFIGURE)


@pytest.fixture
def real_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords are hashed as servers do, for tests that look at it."""
    monkeypatch.setattr(passwords, "_HASHER", HASHER)
    monkeypatch.setattr(passwords, "_NOBODYS_HASH", NOBODYS_HASH)


@pytest.fixture
def argon2(monkeypatch: pytest.MonkeyPatch) -> "Argon2":
    """The argon2 library, watched."""
    return Argon2(monkeypatch)


@pytest.fixture
def promote(db: Database) -> Callable[..., "Someone"]:
    """Make somebody a moderator or an admin, as the command line does; the same somebody."""

    def to(someone: Someone, role: str) -> Someone:
        change = {"role": role, "suspended": None, "now": db.clock.now()}
        db.write("users/identify", "accounts/update", username_key=fold(someone.name), **change)
        return someone

    return to


@pytest.fixture
def commands(
    tmp_path: Path, clock: ManualClock, sql_files: dict[str, SQLFile], monkeypatch: pytest.MonkeyPatch
) -> Commands:
    """The command line, on a copy of the project's schema scripts."""
    if db_module.load is load:
        ours = {HOME / "sql": sql_files}  # compiled for each command, they would take longer than most commands
        monkeypatch.setattr(db_module, "load", lambda folder, *rest: ours.get(folder) or load(folder, *rest))
    return Commands(tmp_path / "commands", clock)


def sqlite(db: Database, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    """What SQLite answers on a connection of its own: for what no route tells, and for turning clocks back."""
    with closing(sqlite3.connect(db.path, timeout=60, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        return connection.execute(sql, values).fetchall()


def remove_the_rest(db: Database) -> None:
    """Do what the background job does after accounts were closed, to the end."""
    while cleanup.remove_some(db):
        pass


def statements_of(db: Database, reader: "Api", path: str) -> int:
    """How many SQL statements a GET runs, without those that begin and end transactions."""
    seen: list[str] = []
    connection = db._reader()  # this thread's own, on which a test's requests read
    connection.set_trace_callback(seen.append)
    reader.get(path)
    connection.set_trace_callback(None)
    return len([sql for sql in seen if sql not in ("BEGIN", "COMMIT")])


class Argon2:
    """What the argon2 library did: `calls` by name, and in `checked` the cost of each hash that was verified."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        self.checked: list[object] = []
        self.before = lambda name: None
        for name in ("hash", "verify"):
            patch.setattr(PasswordHasher, name, self._watched(name, getattr(PasswordHasher, name)))

    def _watched(self, name, original):
        def call(hasher, *arguments):
            self.calls.append(name)
            if name == "verify":
                self.checked.append(extract_parameters(arguments[0]))
            self.before(name)
            return original(hasher, *arguments)

        return call

    def meanwhile(self, action, during):
        """Let something happen elsewhere during the next call of this name."""

        def once(name):
            if name == during:
                self.before = lambda name: None
                with ThreadPoolExecutor(1) as elsewhere:
                    elsewhere.submit(action).result()

        self.before = once


class Api:
    """A client without a token. Paths are relative to the API; every answer is checked against the OpenAPI document."""

    prefix = "/api/v1"

    def __init__(self, client: TestApp, headers: dict[str, str] | None = None) -> None:
        self.client = client
        self.headers = headers or {}

    def someone(self, name: str, **fields: Any) -> "Someone":
        """A new user with a session."""
        user = {"username": name, "email": f"{name}@example.org", "password": PASSWORD} | fields
        answer = self.post("/users", {"user": user}).json["user"]
        return Someone(self.client, answer, self.headers)

    def logs_in(self, email: str, password: str = PASSWORD) -> "Someone":
        """A user who exists, with one more session."""
        answer = self.post("/users/login", {"user": {"email": email, "password": password}}).json["user"]
        return Someone(self.client, answer, self.headers)

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        raw: bytes = b"",
        status: int | None = None,
        headers: dict[str, str] | None = None,
    ) -> TestResponse:
        """Send a request, a body as JSON or `raw` as it is. Without `status` the answer must be a good one."""
        headers = self.headers | (headers or {})
        if body is not None:
            raw, headers = json.dumps(body).encode(), JSON | headers
        path_as_sent = {"REQUEST_URI": self.prefix + path}  # as waitress passes it on
        answer = self.client.request(
            self.prefix + path, method=method, body=raw, headers=headers, environ=path_as_sent, status="*"
        )
        expected = answer.status_int < 400 if status is None else answer.status_int == status
        assert expected, f"{method} {path}: {answer.status} {answer.text}"
        require_described(method, path, answer)
        return answer

    def get(self, path: str, **options: Any) -> TestResponse:
        return self.call("GET", path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> TestResponse:
        return self.call("POST", path, body, **options)

    def put(self, path: str, body: Any = None, **options: Any) -> TestResponse:
        return self.call("PUT", path, body, **options)

    def patch(self, path: str, body: Any = None, **options: Any) -> TestResponse:
        return self.call("PATCH", path, body, **options)

    def delete(self, path: str, body: Any = None, **options: Any) -> TestResponse:
        return self.call("DELETE", path, body, **options)

    def refusal(self, status: int, method: str, path: str, body: Any = None, **options: Any) -> dict[str, str]:
        """The errors of an answer that is expected to be bad, by key; each key has one message."""
        answer = self.call(method, path, body, status=status, **options)
        assert all(len(messages) == 1 for messages in answer.json["errors"].values())
        return {key: messages[0] for key, messages in answer.json["errors"].items()}

    def reads(self, slug: str) -> dict[str, Any]:
        return self.get(f"/articles/{slug}").json["article"]

    def lists(self, **query: Any) -> dict[str, Any]:
        return self.get(f"/articles?{urlencode(query)}").json

    def titles(self, **query: Any) -> list[str]:
        return [article["title"] for article in self.lists(**query)["articles"]]

    def pages(self, path: str) -> Iterator[dict[str, Any]]:
        """What a path answers, and what each Link header leads on to."""
        while path:
            answer = self.get(path)
            link = re.fullmatch(r'<([^>]+)>; rel="next"', answer.headers.get("Link", ""))
            assert link or "Link" not in answer.headers
            yield answer.json
            path = urljoin(path, link[1]) if link else ""

    def comments_of(self, slug: str) -> list[dict[str, Any]]:
        return self.get(f"/articles/{slug}/comments").json["comments"]

    def profile(self, name: str) -> dict[str, Any]:
        return self.get(f"/profiles/{quote(name)}").json["profile"]

    def tags(self) -> list[str]:
        return self.get("/tags").json["tags"]


class Someone(Api):
    """A client with the token of a user."""

    def __init__(self, client: TestApp, user: dict[str, Any], headers: dict[str, str]) -> None:
        super().__init__(client, headers | {"Authorization": f"Token {user['token']}"})
        self.name = user["username"]
        self.email = user["email"]
        self.token = user["token"]

    def me(self) -> dict[str, Any]:
        return self.get("/user").json["user"]

    def changes(self, **fields: Any) -> dict[str, Any]:
        return self.put("/user", {"user": fields}).json["user"]

    def writes(self, title: str, *tags: str, **fields: Any) -> str:
        """Publish an article; its slug."""
        article = {"title": title, "description": "About it", "body": "The text", "tagList": list(tags)} | fields
        return self.post("/articles", {"article": article}).json["article"]["slug"]

    def edits(self, slug: str, **fields: Any) -> dict[str, Any]:
        return self.put(f"/articles/{slug}", {"article": fields}).json["article"]

    def deletes(self, slug: str) -> None:
        self.delete(f"/articles/{slug}", status=204)

    def likes(self, slug: str) -> dict[str, Any]:
        return self.post(f"/articles/{slug}/favorite").json["article"]

    def unlikes(self, slug: str) -> dict[str, Any]:
        return self.delete(f"/articles/{slug}/favorite").json["article"]

    def follows(self, name: str) -> dict[str, Any]:
        return self.post(f"/profiles/{quote(name)}/follow").json["profile"]

    def unfollows(self, name: str) -> dict[str, Any]:
        return self.delete(f"/profiles/{quote(name)}/follow").json["profile"]

    def says(self, slug: str, text: str) -> dict[str, Any]:
        """Comment on an article; the comment."""
        return self.post(f"/articles/{slug}/comments", {"comment": {"body": text}}).json["comment"]

    def feed(self, **query: Any) -> dict[str, Any]:
        return self.get(f"/articles/feed?{urlencode(query)}").json

    def suspends(self, name: str) -> dict[str, Any]:
        return self.patch(f"/admin/users/{quote(name)}", {"user": {"suspended": True}}).json["user"]

    def restores(self, name: str) -> dict[str, Any]:
        return self.patch(f"/admin/users/{quote(name)}", {"user": {"suspended": False}}).json["user"]

    def makes(self, name: str, role: str) -> dict[str, Any]:
        return self.patch(f"/admin/users/{quote(name)}", {"user": {"role": role}}).json["user"]

    def leaves(self, content: str = "delete", password: str = PASSWORD) -> None:
        self.delete("/user", {"user": {"password": password, "content": content}}, status=204)
