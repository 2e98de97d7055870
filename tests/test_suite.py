"""The tests of this folder depend on nothing but the code: no sleep, no socket, no process, no clock but their own."""

import ast
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from clock import SYSTEM_CLOCK
from tests.conftest import HOME

# The calls that read the system's clock. Durations are measured with time.perf_counter and time.monotonic.
CLOCKS = {"time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "datetime.today", "date.today", "time.ctime"}
WITHOUT_ARGUMENT = {"time.gmtime", "time.localtime"}
OTHER_ROOMS = {"bench", "tests"}
OTHER_SUITES = {"system", "docs", "released"}


def modules(folder: Path, without: set[str]) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.name.startswith(".") and path.name not in without | {"data", "__pycache__"}:
            yield from modules(path, without)
        elif path.suffix == ".py":
            yield path


def forbidden_calls(source: str, forbidden: set[str]) -> list[str]:
    """The calls in a module that are forbidden, whether they are written time.time() or, once imported, time()."""
    tree = ast.parse(source)
    full_names = {
        alias.asname or alias.name: f"{node.module}.{alias.name}".removeprefix("datetime.")
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        first, dot, rest = name.removeprefix("datetime.datetime").partition(".")
        name = full_names.get(first, first or "datetime") + dot + rest
        if name in forbidden or (name in WITHOUT_ARGUMENT and not node.args):
            found.append(f"line {node.lineno}: {name}")
    return found


@pytest.mark.parametrize("module", [*modules(HOME, OTHER_ROOMS)], ids=lambda path: str(path.relative_to(HOME)))
def test_only_the_clock_reads_the_systems_clock(module):
    assert forbidden_calls(module.read_text(encoding="utf-8"), CLOCKS) == [] or module == HOME / "clock.py"


@pytest.mark.parametrize(
    "module", [*modules(HOME / "tests", OTHER_SUITES)], ids=lambda path: str(path.relative_to(HOME))
)
def test_no_test_sleeps_or_reads_the_systems_clock(module):
    found = forbidden_calls(module.read_text(encoding="utf-8"), CLOCKS | {"time.sleep"})

    assert found == [] or module == Path(__file__)


def test_a_forbidden_call_is_found_however_it_is_written():
    source = "from datetime import datetime\nfrom time import time as t\nt()\ndatetime.now(UTC)\ntime.gmtime()\n"

    assert forbidden_calls(source, CLOCKS) == ["line 3: time.time", "line 4: datetime.now", "line 5: time.gmtime"]
    assert forbidden_calls("import datetime\ndatetime.datetime.now()\ntime.gmtime(0)\n", CLOCKS) == [
        "line 2: datetime.now"
    ]


def opens_a_socket(how):
    with socket.socket() as opened:
        getattr(opened, how)(("127.0.0.1", 9))


@pytest.mark.parametrize(
    "breach",
    [
        lambda: time.sleep(0),
        lambda: opens_a_socket("bind"),
        lambda: opens_a_socket("connect"),
        lambda: subprocess.run([sys.executable, "-c", ""], check=False),
        os.fork,
        lambda: SYSTEM_CLOCK.now(),
    ],
    ids=["sleep", "bind", "connect", "process", "fork", "clock"],
)
def test_a_test_that_needs_the_machine_is_refused(breach):
    with pytest.raises(AssertionError):
        breach()
