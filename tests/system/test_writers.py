"""Processes that write to one database take turns, and what was acknowledged survives them."""

import re
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from db.lock import WriteLock
from tests.conftest import HOME
from tests.db.accounts import stored
from tests.system.test_server import until

WRITES = """
import sys
from pathlib import Path
from db import Database
from tests.db.accounts import account

db = Database(Path(sys.argv[1]), Path("sql"), wait_s=30)
for number in range(int(sys.argv[3])):
    db.write("users/must_be_free", "users/create", **account(f"{sys.argv[2]}{number}"))
    print(f"{sys.argv[2]}{number}", flush=True)
sys.stdin.read()
db.close()
"""
HOLDS = """
import sys
from pathlib import Path
from db.lock import WriteLock

with WriteLock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def python():
    """Start a process that runs a script in this project; it ends with the test."""
    with ExitStack() as started:

        def python(script, *arguments):
            command = [sys.executable, "-c", script, *map(str, arguments)]
            process = subprocess.Popen(command, cwd=HOME, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            started.enter_context(process)
            started.callback(process.kill)
            return process

        yield python


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="needs Linux: /proc/locks tells who waits")
def test_two_processes_lose_nothing_and_close_in_turn_so_that_the_last_one_removes_the_wal(db, python):
    db.close()
    both = [python(WRITES, db.path, name, 100) for name in ("ann", "bob")]
    names = [process.stdout.readline().strip() for _ in range(100) for process in both]

    with WriteLock(db.path):
        for process in both:
            process.stdin.close()
        for process in both:
            until(lambda pid=process.pid: re.search(rf"-> FLOCK .* {pid} ", Path("/proc/locks").read_text()))

    assert [process.wait(30) for process in both] == [0, 0]
    assert not db.path.with_name("rowboat.db-wal").exists()
    assert sorted(stored(db)) == sorted(names)


def test_what_was_acknowledged_survives_kill_9(db, python):
    process = python(WRITES, db.path, "ann", 1_000_000)
    lines = [process.stdout.readline().strip() for _ in range(50)]
    process.kill()
    lines += process.stdout.read().split()

    assert stored(db)[: len(lines)] == lines
    assert len(stored(db)) - len(lines) in (0, 1)


def test_the_lock_of_a_killed_process_is_free(db, python):
    process = python(HOLDS, db.path)
    assert process.stdout.readline() == "held\n"
    call = db.submit("checks/write")
    waited = not call.done()
    process.kill()

    call.result(30)
    assert waited
