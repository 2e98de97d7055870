"""The machine: its cores and who runs on which, its versions, the memory of a process."""

import os
import platform
import sqlite3
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from config import usable_cores

_PACKAGES = [
    "bottle",
    "waitress",
    "Flask",
    "SQLAlchemy",
    "gunicorn",
    "fastapi",
    "uvicorn",
    "Django",
    "djangorestframework",
]


# Read once, before this process is pinned itself.
ALL_CORES = usable_cores()
SERVER_CORE = set(ALL_CORES[:1])
LOAD_CORE = set(ALL_CORES[1:2]) or SERVER_CORE


def cores_of_server(processes: int) -> set[int]:
    """Where a server runs: one process on its core; several, which pin themselves, on all."""
    return SERVER_CORE if processes == 1 else set(ALL_CORES)


def cores_of_load(processes: int) -> set[int]:
    """Where wrk runs against so many processes: on the other core, or on whatever the processes leave."""
    return LOAD_CORE if processes == 1 else set(ALL_CORES)


def pin(where: set[int]) -> None:
    """Keep this process, and those that it starts from now on, on these cores."""
    if where and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, where)


def description() -> dict[str, Any]:
    """What a reader needs to know to compare figures."""
    return {
        "processor": _processor(),
        "cores": len(ALL_CORES),
        "system": platform.platform(),
        "python": sys.version.split()[0],
        "sqlite": sqlite3.sqlite_version,
        "versions": {name: version(name) for name in _PACKAGES},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def memory(pid: int) -> dict[str, float] | None:
    """The resident (RSS) and proportional (PSS) memory of a process in MB; None without /proc."""
    try:
        lines = [line.split() for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]]
    except OSError:
        return None
    return {f"{line[0][:-1].lower()}_mb": int(line[1]) / 1024 for line in lines if line[0] in ("Rss:", "Pss:")}


def cpu_seconds(pid: int) -> float:
    """The processor time that a process's children have used so far; 0 without /proc."""
    try:
        stats = [Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split() for child in children(pid)]
    except OSError:
        return 0
    return sum(int(ticks) for stat in stats for ticks in stat[11:13]) / os.sysconf("SC_CLK_TCK")


def children(pid: int) -> list[int]:
    """The process ids of a process's children; none without /proc."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
