"""Old databases are upgraded by reloads while clients read: no request fails, and no response changes."""

import signal
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from seed import PASSWORD
from tests.db.scripts import PACE, SLOW
from tests.db.test_upgrade import RELEASED
from tests.system.commands import Fork
from tests.system.test_server import Server, serving, until

# What a new version may bring: it takes a while, changes tables that are read, builds one anew, changes an index.
ROWS = 300_000
NEW_SCRIPTS = {
    "pace": PACE.replace("(10)", f"({ROWS})"),
    "strokes": SLOW,
    "pronouns": "ALTER TABLE users ADD COLUMN pronouns TEXT;\nUPDATE users SET pronouns = 'they';\n",
    "indexes": "DROP INDEX comments_article_id_idx;\n"
    "CREATE INDEX comments_article_id_idx ON comments (article_id, created_at);\nANALYZE;\n",
}


def content_of(server: Server, token: str) -> Iterator[tuple[str, Any]]:
    """What a client reads, page by page: listings, articles, comments, a feed, a search."""

    def read(path: str) -> tuple[str, Any]:
        status, answer = server.ask("GET", f"/api{path}", authorization=f"Token {token}")
        assert status == 200, f"{path}: {status} {answer}"
        return path, answer

    path, listing = read("/articles?limit=100")
    yield path, listing
    word = listing["articles"][0]["title"].split()[0]
    paths = ["/tags", "/articles/feed", f"/articles?limit=100&q={word}"]
    paths += [f"/articles/{each['slug']}{end}" for each in listing["articles"] for end in ("", "/comments")]
    yield from map(read, paths)


@pytest.mark.parametrize("dump", RELEASED, ids=lambda path: path.stem)
def test_a_released_database_is_upgraded_by_reloads_while_readers_are_served(dump: Path, fork: Fork, tmp_path: Path):
    """The server upgrades it to its own scripts when it starts; reloads bring more."""
    fork.database.parent.mkdir()
    with closing(sqlite3.connect(fork.database)) as connection:
        connection.executescript(dump.read_text())

    through = "sh", "-c", f'cd {fork.home}; shift; exec "$0" app.py "$@" --database {fork.database}'
    with serving(tmp_path, "--workers", "2", through=through) as server:
        login = {"user": {"email": "ada@example.org", "password": PASSWORD}}
        token = server.ask("POST", "/api/users/login", login)[1]["user"]["token"]
        before = dict(content_of(server, token))
        assert len(before) > 40
        done, answered = threading.Event(), [0] * 4

        def reads(number: int) -> None:
            while not done.is_set():
                for name, answer in content_of(server, token):
                    assert answer == before[name], name
                    answered[number] += 1

        with ThreadPoolExecutor(4) as crowd:
            readers = [crowd.submit(reads, number) for number in range(4)]
            try:
                for reloads, (name, script) in enumerate(NEW_SCRIPTS.items(), 1):
                    fork.add(name, script)
                    so_far = sum(answered)
                    server.process.send_signal(signal.SIGHUP)
                    until(lambda: server.log.read_text().count("Rowboat reloaded") == reloads, 300)  # noqa: B023
                    assert sum(answered) > so_far, "no request was answered meanwhile"
            finally:
                done.set()
            for reader in readers:
                reader.result()

        assert dict(content_of(server, token)) == before
        server.stop()
        assert "rror" not in server.log.read_text()
    assert "pending" not in "".join(fork.says("status"))
    assert fork.says("check", "--repair")[-1] == f"{fork.database} is as it should be"
    assert fork.sql("SELECT count(*) FROM strokes") == [(ROWS,)]
