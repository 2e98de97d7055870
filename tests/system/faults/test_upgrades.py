"""Old databases are upgraded by reloads while clients read: no request fails, and no response changes."""

import http.client
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from seed import PASSWORD
from tests.db.scripts import PACE, SLOW
from tests.db.test_upgrade import RELEASED
from tests.system.commands import Fork
from tests.system.test_server import ask, serving, until

# What a new version may bring: it takes a while, changes tables that are read, builds one anew, changes an index.
ROWS = 500_000
NEW_SCRIPTS = {
    "pace": PACE.replace("(10)", f"({ROWS})"),
    "strokes": SLOW,
    "pronouns": "ALTER TABLE users ADD COLUMN pronouns TEXT;\nUPDATE users SET pronouns = 'they';\n",
    "indexes": "DROP INDEX comments_article_id_idx;\n"
    "CREATE INDEX comments_article_id_idx ON comments (article_id, created_at);\nANALYZE;\n",
}


def content_of(port: int, token: str) -> Iterator[tuple[str, Any]]:
    """Everything that a client reads, page by page: listings, articles, comments, profiles, tags, a feed."""

    asked = time.monotonic()

    def read(path: str, **headers: str) -> Any:
        nonlocal asked
        before, asked = asked, time.monotonic()
        try:
            status, answer = ask(kept, "GET", f"/api{path}", **headers)
        except ConnectionError:  # a worker that stops closes connections that were idle for a second; others it may not
            if time.monotonic() - before < 1:
                raise
            kept.close()
            status, answer = ask(kept, "GET", f"/api{path}", **headers)
        assert status == 200, f"{path}: {status} {answer}"
        return answer

    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as kept:
        listing = read("/articles?limit=100")
        yield "listing", listing
        yield "tags", read("/tags")
        yield "feed", read("/articles/feed", authorization=f"Token {token}")
        for article in listing["articles"]:
            slug, name = article["slug"], article["author"]["username"]
            yield slug, read(f"/articles/{slug}", authorization=f"Token {token}")
            yield f"{slug}: comments", read(f"/articles/{slug}/comments")
            yield name, read(f"/profiles/{quote(name)}")
        for word in listing["articles"][0]["title"].split()[:2]:
            yield f"search {word}", read(f"/articles?limit=100&q={word}")


def rows_of(path: Path, tables: list[str]) -> dict[str, Any]:
    """All the rows of these tables, with the columns that the oldest version knows."""
    with closing(sqlite3.connect(path)) as connection:
        return {name: sorted(connection.execute(f"SELECT * FROM {name}"), key=repr) for name in tables}


@pytest.mark.parametrize("dump", RELEASED, ids=lambda path: path.stem)
def test_a_released_database_is_upgraded_by_reloads_while_readers_are_served(dump: Path, fork: Fork, tmp_path: Path):
    """The server starts without its two newest scripts; reloads bring those, and then more."""
    texts = {path: path.read_text() for path in sorted(fork.folder.glob("[0-9]*.sql"))[-2:]}
    for path in texts:
        path.unlink()
    fork.database.parent.mkdir()
    with closing(sqlite3.connect(fork.database)) as connection:
        connection.executescript(dump.read_text())
    kept = ["articles", "article_tags", "comments", "favorites", "follows", "slugs", "tags", "totals"]
    rows = rows_of(fork.database, kept)
    assert len(rows["articles"]) >= 20

    through = "sh", "-c", f'cd {fork.home}; shift; exec "$0" app.py "$@" --database {fork.database}'
    with serving(tmp_path, "--workers", "2", through=through) as server:
        login = {"user": {"email": "ada@example.org", "password": PASSWORD}}
        token = server.ask("POST", "/api/users/login", login)[1]["user"]["token"]
        before = dict(content_of(server.port, token))
        assert len(before) > 50
        done = threading.Event()
        answered = [0] * 8

        def reads(number: int) -> None:
            while not done.is_set():
                for name, answer in content_of(server.port, token):
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
                    server.process.send_signal(signal.SIGHUP)
                    until(lambda: server.log.read_text().count("Rowboat reloaded") == reloads, 300)  # noqa: B023
                    assert sum(answered) > so_far, "no request was answered meanwhile"
            finally:
                done.set()
            for reader in readers:
                reader.result()
        print(f"{sum(answered)} responses during {len(NEW_SCRIPTS) + 1} upgrades")

        assert dict(content_of(server.port, token)) == before
        assert not [line for line in fork.says("status") if "pending" in line]
        server.stop()
        assert "rror" not in server.log.read_text()
    assert fork.says("check")
    assert rows_of(fork.database, kept) == rows
    assert fork.run("SELECT count(*) FROM strokes") == [(ROWS,)]
    assert fork.run("SELECT count(*) FROM users WHERE pronouns IS NULL") == [(0,)]
