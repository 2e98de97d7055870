"""What a server says when it starts, and how it reads a path as it was sent."""

import re
import socket
import sqlite3
from contextlib import closing

LINE = re.compile(
    r"Rowboat on http://127\.0\.0\.1:(\d+)/api \(workers: 1\), database (.+) \((\d+\.\d) MB(, created now)?\)\n"
)


def started(fork, **settings):
    """The start-up line of a server: port, database, megabytes, whether it was created; and its process."""
    process = fork.start("serve", "--port", "0", "--workers", "1", **settings)
    for line in process.stdout:
        if found := LINE.fullmatch(line):
            return found, process
    raise AssertionError(process.stderr.read())


def stop(process):
    process.terminate()
    process.communicate(timeout=60)


def test_it_names_the_database_its_size_and_whether_it_was_created(fork):
    found, process = started(fork)
    assert found[2] == str(fork.database.resolve())
    assert found[4] == ", created now"
    assert float(found[3]) > 0
    stop(process)
    with closing(sqlite3.connect(fork.database)) as connection:
        connection.execute("CREATE TABLE large AS SELECT zeroblob(3000000) AS x")
        connection.commit()

    again, process = started(fork, ROWBOAT_DATABASE="../data/rowboat.db")

    assert again[2] == str(fork.database.resolve())
    assert again[4] is None
    assert float(again[3]) > 3
    stop(process)


def test_a_path_is_compared_as_it_was_sent(fork):
    found, process = started(fork)

    def status(target):
        with closing(socket.create_connection(("127.0.0.1", int(found[1])), timeout=30)) as connection:
            connection.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            return int(connection.makefile("rb").readline().split()[1])

    for _ in range(2):
        assert [status(path) for path in ("/api/tags", "/api/tags/", "http://x/api/tags")] == [200] * 3
        for other in "//api/tags", "/api%2Ftags", "/api/tags%2f", "/%61pi/tags", "http://x//api/tags", "/api/tags//":
            assert status(other) == 404
    stop(process)
