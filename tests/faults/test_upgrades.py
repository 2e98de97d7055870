"""Old databases are upgraded under a server that is reloaded, while people read: nobody is refused, nothing changes."""

import http.client
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from seed import PASSWORD
from tests.commands import Fork
from tests.db.scripts import PACE, SLOW
from tests.test_released import RELEASED
from tests.test_server import ask, environment, port_of
from tests.test_stopping import wait_until

# What a new version may bring: it takes a while, it changes tables that are read, it builds one of them anew.
NEW_SCRIPTS = {
    "pace": PACE.replace("(10)", "(3000000)"),
    "strokes": SLOW,
    "pronouns": "ALTER TABLE users ADD COLUMN pronouns TEXT;\nUPDATE users SET pronouns = 'they';\n",
    "indexes": "DROP INDEX comments_article_id_idx;\n"
    "CREATE INDEX comments_article_id_idx ON comments (article_id, created_at);\nANALYZE;\n",
}


def content_of(port: int, token: str) -> Iterator[tuple[str, Any]]:
    """Everything that a reader sees, page by page: listings, articles, comments, profiles, tags, a feed."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as kept:
        asked = time.monotonic()

        def read(path: str, **headers: str) -> Any:
            nonlocal asked
            before, asked = asked, time.monotonic()
            try:
                status, answer = ask(kept, "GET", f"/api{path}", **headers)
            except ConnectionError:  # who was idle for a second is closed by a worker that stops, and asks again
                if time.monotonic() - before < 1:
                    raise
                kept.close()
                status, answer = ask(kept, "GET", f"/api{path}", **headers)
            assert status == 200, f"{path}: {status} {answer}"
            return answer

        listing = read("/articles?limit=100")
        yield "listing", listing
        yield "tags", read("/tags")
        yield "feed", read("/articles/feed", authorization=f"Token {token}")
        for article in listing["articles"]:
            slug, name = article["slug"], article["author"]["username"]
            yield slug, read(f"/articles/{slug}", authorization=f"Token {token}")
            yield f"{slug}: comments", read(f"/articles/{slug}/comments")
            yield name, read(f"/profiles/{name.replace(' ', '%20')}")
        for word in listing["articles"][0]["title"].split()[:2]:
            yield f"search {word}", read(f"/articles?limit=100&q={word}")


def rows_of(path: Path, tables: list[str]) -> dict[str, Any]:
    """All the rows of these tables, with the columns that the oldest version knows."""
    with closing(sqlite3.connect(path)) as connection:
        return {name: sorted(connection.execute(f"SELECT * FROM {name}"), key=repr) for name in tables}


@pytest.mark.slow
@pytest.mark.parametrize("dump", RELEASED, ids=lambda path: path.stem)
def test_a_released_database_is_upgraded_by_reloads_while_readers_are_served(dump: Path, fork: Fork, tmp_path: Path):
    """The version before is this one without its newest script; the versions after it bring that and more."""
    newest = sorted(fork.folder.glob("[0-9]*.sql"))[-2:]
    texts = {path: path.read_text() for path in newest}
    for path in newest:
        path.unlink()
    fork.database.parent.mkdir()
    with closing(sqlite3.connect(fork.database)) as connection:
        connection.executescript(dump.read_text())
    kept = ["articles", "article_tags", "comments", "favorites", "follows", "slugs", "tags", "totals"]
    rows = rows_of(fork.database, kept)
    assert len(rows["articles"]) >= 20

    log = tmp_path / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "app.py", "serve", "--port", "0", "--workers", "2", "--database", str(fork.database)],
            cwd=fork.home,
            env=environment(),
            stdout=output,
            stderr=output,
        )
    try:
        port = port_of(process, log)
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
            body = {"user": {"email": "ada@example.org", "password": PASSWORD}}
            token = ask(connection, "POST", "/api/users/login", body)[1]["user"]["token"]
        before = dict(content_of(port, token))
        assert len(before) > 50
        done = threading.Event()
        answered: list[int] = [0] * 8

        def reads(number: int) -> None:
            while not done.is_set():
                for name, answer in content_of(port, token):
                    assert answer == before[name], name
                    answered[number] += 1

        with ThreadPoolExecutor(8) as crowd:
            readers = [crowd.submit(reads, number) for number in range(8)]
            try:
                for reloads, (name, script) in enumerate([("", ""), *NEW_SCRIPTS.items()], 1):
                    if name:
                        fork.add(name, script)
                    for path, text in texts.items():
                        path.write_text(text)
                    so_far = sum(answered)
                    process.send_signal(signal.SIGHUP)
                    wait_until(lambda: log.read_text().count("Rowboat reloaded") == reloads, 300)  # noqa: B023
                    assert sum(answered) > so_far, "nobody was served meanwhile"
            finally:
                done.set()
            for reader in readers:
                reader.result()
        print(f"{sum(answered)} answers during {len(NEW_SCRIPTS) + 1} upgrades")

        assert dict(content_of(port, token)) == before
        pending = [line for line in fork.says("status") if "pending" in line]
        assert not pending
    finally:
        process.terminate()
        assert process.wait(60) == 0
    assert fork.says("check")
    assert rows_of(fork.database, kept) == rows
    assert fork.run("SELECT count(*) FROM strokes") == [(3_000_000,)]
    assert fork.run("SELECT count(*) FROM users WHERE pronouns IS NULL") == [(0,)]
    assert "rror" not in log.read_text()
