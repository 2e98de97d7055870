"""Signals in the first second, for process 1 of a container: Linux drops those that process 1 has no handler for."""

import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.system.test_server import children_of, command, environment, needs_proc, until

IN_A_CONTAINER = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
if os.geteuid() != 0:
    IN_A_CONTAINER += ["--user", "--map-root-user"]


def _is_allowed() -> bool:
    try:
        return subprocess.run([*IN_A_CONTAINER, "true"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


pytestmark = [
    needs_proc,
    pytest.mark.skipif(not _is_allowed(), reason="needs unshare(1), and to be allowed a PID namespace"),
]


@contextmanager
def process_1(folder: Path) -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    """`serve` as process 1: unshare, which ends with its status, and its process id out here."""
    with (folder / "server.log").open("wb") as output:
        unshare = subprocess.Popen(
            [*IN_A_CONTAINER, *command(folder / "data" / "rowboat.db", 0, "--workers", "1")],
            cwd=folder,
            env=environment(),
            stdout=output,
            stderr=output,
        )
    try:
        until(lambda: bool(children_of(unshare.pid)))
        yield unshare, children_of(unshare.pid)[0]
    finally:
        unshare.kill()
        unshare.wait(60)


def has(pid: int, mask: str, signum: int) -> bool:
    """Whether a process blocks ("SigBlk") or handles ("SigCgt") a signal."""
    found = re.search(rf"{mask}:\s+(\w+)", Path(f"/proc/{pid}/status").read_text())
    return bool(found and int(found[1], 16) >> (signum - 1) & 1)


def runs(pid: int, script: str) -> bool:
    return script.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()


# What process 1 has come to, from the first line of app.py to its first answer.
COME_TO: dict[str, Callable[[int, Path], bool]] = {
    # (unshare, whose command line names app.py too, blocks signals as well before it becomes that.)
    "the first line": lambda pid, _: not runs(pid, "unshare") and has(pid, "SigBlk", signal.SIGTERM),
    "the parent": lambda pid, _: runs(pid, "serve.py"),
    "its handlers": lambda pid, _: runs(pid, "serve.py") and has(pid, "SigCgt", signal.SIGTERM),
    "a worker": lambda pid, _: runs(pid, "serve.py") and bool(children_of(pid)),
    "the database": lambda pid, folder: (folder / "data" / "rowboat.db").exists(),
    "its address": lambda pid, folder: "Rowboat on" in (folder / "server.log").read_text(),
}


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("come_to", COME_TO)
def test_process_1_stops_when_told_to_whatever_it_has_come_to(tmp_path, come_to, signum):
    with process_1(tmp_path) as (unshare, pid):
        until(lambda: COME_TO[come_to](pid, tmp_path))

        os.kill(pid, signum)

        assert unshare.wait(60) == 0
    assert "Traceback" not in (tmp_path / "server.log").read_text()


def test_a_hangup_of_the_first_second_is_a_reload(tmp_path):
    with process_1(tmp_path) as (unshare, pid):
        until(lambda: COME_TO["the first line"](pid, tmp_path))

        os.kill(pid, signal.SIGHUP)

        until(lambda: "Rowboat reloaded" in (tmp_path / "server.log").read_text())
        os.kill(pid, signal.SIGTERM)
        assert unshare.wait(60) == 0


def test_a_hangup_or_ctrl_c_of_the_whole_group_leaves_a_worker_that_starts_alone(tmp_path):
    with process_1(tmp_path) as (unshare, pid):
        until(lambda: COME_TO["a worker"](pid, tmp_path))
        (worker,) = children_of(pid)

        os.kill(worker, signal.SIGHUP)
        os.kill(worker, signal.SIGINT)

        until(lambda: COME_TO["its address"](pid, tmp_path))
        assert children_of(pid) == [worker]
        assert not has(pid, "SigBlk", signal.SIGTERM)
        assert not has(worker, "SigBlk", signal.SIGTERM)
        os.kill(pid, signal.SIGTERM)
        assert unshare.wait(60) == 0
