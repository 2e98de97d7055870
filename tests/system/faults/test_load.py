"""Reads and writes under load: the server neither grows nor leaks. How fast it is, is measured in bench/."""

import http.client
import os
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.system.faults.clients import MINUTES, SETTINGS
from tests.system.test_server import Server, ask, children_of, needs_proc, serving

CLIENTS = 16
WINDOWS = 6

# In each window, each client does `work` so often; in the long form, as often as it can in its part of MINUTES.
ROUNDS = 4

# The server may grow by so much after the first third of the windows. In the short form, 1% was seen.
MOST_GROWTH = 0.05

# SQLite keeps the descriptor of a connection that was closed beside others, for the next one. The threads of a worker
# may each open one at the same time, for the plan of a statement that was slow.
KEPT_BY_SQLITE = 5

# A checkpoint is due after each 4 MB, and waits for readers. At most 7 were seen.
MOST_WAL_BYTES = 16_000_000


def usage(server: Server) -> tuple[list[tuple[int, int, int]], int]:
    """The memory in kB, descriptors and threads of the parent and each worker, and the size of the WAL."""
    processes = []
    for pid in server.process.pid, *children_of(server.process.pid):
        text = Path(f"/proc/{pid}/status").read_text()
        memory, threads = (int(re.search(rf"{name}:\s+(\d+)", text)[1]) for name in ("VmRSS", "Threads"))
        processes.append((memory, len(os.listdir(f"/proc/{pid}/fd")), threads))
    return processes, Path(f"{server.database}-wal").stat().st_size


def work(connection: http.client.HTTPConnection, email: str, slug: str) -> int:
    """Log in, read, write, and undo what was written; how many requests that took. Each must succeed."""
    asked = 0

    def request(method: str, path: str, body: Any = None, **headers: str) -> Any:
        nonlocal asked
        asked += 1
        status, answer = ask(connection, method, f"/api{path}", body, **headers)
        assert status in (200, 201, 204), (method, path, status, answer)
        return answer

    user = request("POST", "/users/login", {"user": {"email": email, "password": "rowboat-demo"}})["user"]
    me = {"authorization": f"Token {user['token']}"}
    for path in ["/articles", "/articles?limit=20&offset=40", "/articles?tag=boats", "/articles/feed", "/tags"] * 3:
        request("GET", path, **me)
    for path in [f"/articles/{slug}", f"/articles/{slug}/comments", f"/profiles/{quote(user['username'])}"] * 3:
        request("GET", path, **me)
    article = {"title": "Dusk", "description": "About it", "body": "Row. " * 500}
    own = f"/articles/{request('POST', '/articles', {'article': article}, **me)['article']['slug']}"
    request("PUT", own, {"article": {"body": "Row. " * 900}}, **me)
    comment = request("POST", f"/articles/{slug}/comments", {"comment": {"body": "Well rowed"}}, **me)["comment"]
    request("POST", f"{own}/favorite", **me)
    for path in own, f"/articles/{slug}/comments/{comment['id']}", "/user/sessions/current":
        request("DELETE", path, **me)
    return asked


@needs_proc
def test_under_load_the_server_neither_grows_nor_leaks(tmp_path, commands):
    commands.database = tmp_path / "data" / "rowboat.db"
    assert commands.run("seed", "--users", "50", "--articles", "300").exit_code == 0
    windows, asked = [], 0

    with serving(tmp_path, "--workers", "2", **SETTINGS) as server, ThreadPoolExecutor(CLIENTS) as crowd:
        emails = [email for (email,) in server.rows(f"SELECT email FROM users ORDER BY id LIMIT {CLIENTS}")]
        slugs = [slug for (slug,) in server.rows(f"SELECT slug FROM articles ORDER BY id LIMIT {CLIENTS}")]
        tables = "articles", "comments", "favorites", "sessions", "slugs", "article_tags"
        counts = [f"SELECT count(*) FROM {table}" for table in tables]
        stored = [server.rows(sql) for sql in counts]
        connections = [http.client.HTTPConnection("127.0.0.1", server.port, timeout=60) for _ in range(CLIENTS)]

        def client(number: int) -> int:
            """A client's requests in one window; how many they are."""
            sent, rounds, end = 0, 0, time.monotonic() + 60 * MINUTES / WINDOWS
            while rounds < ROUNDS or time.monotonic() < end:
                sent += work(connections[number], emails[number], slugs[number])
                rounds += 1
            return sent

        for _ in range(WINDOWS):
            asked += sum(crowd.map(client, range(CLIENTS)))
            windows.append(usage(server))
            print(f"{asked} requests  {windows[-1]}", flush=True)
        for connection in connections:
            connection.close()

        assert [server.rows(sql) for sql in counts] == stored
        for before, after in zip(windows[WINDOWS // 3][0], windows[-1][0], strict=True):
            assert after[0] < (1 + MOST_GROWTH) * before[0]
            assert after[1] <= before[1] + KEPT_BY_SQLITE
            assert after[2] == before[2]
        assert max(wal_bytes for _, wal_bytes in windows) < MOST_WAL_BYTES
        server.stop()
    assert commands.says("check")[-1] == f"{server.database} is as it should be"
    assert "Traceback" not in server.log.read_text()
