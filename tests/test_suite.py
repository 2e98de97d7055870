"""The tests of this folder depend on nothing but the code: no sleep, no socket, no process, no clock but their own."""

import ast
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from clock import SYSTEM_CLOCK
from tests.conftest import HOME

# What reads the system's clock. Durations are measured with time.perf_counter and time.monotonic.
CLOCKS = {"time.time", "time.time_ns", "time.clock_gettime", "time.clock_gettime_ns", "datetime.date.today"}
CLOCKS |= {f"datetime.datetime.{name}" for name in ("now", "utcnow", "today")}
# What reads it unless it is given a time, as the argument of this number.
WITH_A_TIME = {"time.gmtime": 1, "time.localtime": 1, "time.ctime": 1, "time.asctime": 1, "time.strftime": 2}
WITH_A_TIME |= {"email.utils.formatdate": 1}
OTHER_ROOMS = {"bench", "tests"}
OTHER_SUITES = {"system", "docs", "released"}


def modules(folder: Path, without: set[str]) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.name.startswith(".") and path.name not in without | {"data", "__pycache__"}:
            yield from modules(path, without)
        elif path.suffix == ".py":
            yield path


def forbidden_uses(source: str, forbidden: set[str]) -> list[str]:
    """Where a module uses what is forbidden, under whatever name it was imported."""
    tree = ast.parse(source)
    full_names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
            full_names |= {alias.asname: module + alias.name for alias in node.names if alias.asname}
            full_names |= {alias.name: module + alias.name for alias in node.names if not alias.asname}

    def full_name(node: ast.expr) -> str:
        first, dot, rest = ast.unparse(node).partition(".")
        return full_names.get(first, first) + dot + rest

    found = []
    last_names = full_names.keys() | {name.rpartition(".")[2] for name in forbidden}
    for node in ast.walk(tree):
        if getattr(node, "attr", getattr(node, "id", None)) in last_names and full_name(node) in forbidden:
            found.append(f"line {node.lineno}: {full_name(node)}")
        elif isinstance(node, ast.Call) and full_name(node.func) in WITH_A_TIME:
            times = node.args[WITH_A_TIME[full_name(node.func)] - 1 :]
            if not times or ast.unparse(times[0]) == "None":
                found.append(f"line {node.lineno}: {full_name(node.func)}")
    return found


@pytest.mark.parametrize("module", [*modules(HOME, OTHER_ROOMS)], ids=lambda path: str(path.relative_to(HOME)))
def test_only_the_clock_reads_the_systems_clock(module):
    assert forbidden_uses(module.read_text(encoding="utf-8"), CLOCKS) == [] or module == HOME / "clock.py"


@pytest.mark.parametrize(
    "module", [*modules(HOME / "tests", OTHER_SUITES)], ids=lambda path: str(path.relative_to(HOME))
)
def test_no_test_sleeps_or_reads_the_systems_clock(module):
    found = forbidden_uses(module.read_text(encoding="utf-8"), CLOCKS | {"time.sleep"})

    assert found == [] or module == Path(__file__)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from datetime import datetime\ndatetime.now(UTC)", "line 2: datetime.datetime.now"),
        ("import datetime as dt\ndt.datetime.utcnow()", "line 2: datetime.datetime.utcnow"),
        ("import datetime\ndatetime.date.today()", "line 2: datetime.date.today"),
        ("from time import time as t\nt()", "line 2: time.time"),
        ("import time as t\nread = t.time", "line 2: time.time"),
        ("import time\ntime.gmtime()", "line 2: time.gmtime"),
        ("import time\ntime.localtime(None)", "line 2: time.localtime"),
        ("import time\ntime.strftime('%Y')", "line 2: time.strftime"),
        ("from email.utils import formatdate\nformatdate()", "line 2: email.utils.formatdate"),
        ("import time\ntime.gmtime(0)\ntime.strftime('%Y', time.gmtime(0))\ntime.monotonic()", None),
    ],
)
def test_a_use_of_the_systems_clock_is_found_however_it_is_written(source, found):
    assert forbidden_uses(source, CLOCKS) == ([found] if found else [])


@pytest.mark.parametrize(
    "breach",
    [
        lambda: time.sleep(0),
        socket.socket,
        lambda: os.system("true"),
        lambda: subprocess.run([sys.executable, "-c", ""], check=False),
        os.fork,
        lambda: SYSTEM_CLOCK.now(),
    ],
    ids=["sleep", "socket", "shell", "process", "fork", "clock"],
)
def test_a_test_that_needs_the_machine_is_refused(breach):
    with pytest.raises(AssertionError):
        breach()


@pytest.mark.parametrize("module", [*modules(HOME, OTHER_ROOMS)], ids=lambda path: str(path.relative_to(HOME)))
def test_text_files_may_begin_with_a_byte_order_mark(module):
    reads = re.findall(r"\.read_text\([^)]*\)", module.read_text(encoding="utf-8"))

    assert set(reads) <= {'.read_text(encoding="utf-8-sig")'}
