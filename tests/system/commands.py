"""The command line in processes, in a copy of the project whose schema/ a test may change."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from tests.db.scripts import Scripts

# What belongs to this checkout, and not to the project.
_LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "data", "tests", "bench")


def copy_project(source: Path, target: Path) -> None:
    """Copy what a fork begins with."""
    shutil.copytree(source, target, ignore=_LEFT_OUT)


class Fork(Scripts):
    """A copy of the project. ROWBOAT_DATABASE is `database`, which does not exist yet."""

    def __init__(self, home: Path, folder: Path) -> None:
        super().__init__(home)
        self.home = home
        self.database = folder / "rowboat.db"
        self.processes: list[subprocess.Popen[str]] = []

    def start(self, *arguments: str, **settings: str) -> "subprocess.Popen[str]":
        """Start a command."""
        # A background job has SIGINT disabled, and its children inherit that.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("ROWBOAT_")}
        process = subprocess.Popen(
            [sys.executable, "app.py", *arguments],
            cwd=self.home,
            env=inherited | {"ROWBOAT_DATABASE": str(self.database)} | settings,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        signal.signal(signal.SIGINT, before)
        self.processes.append(process)
        return process

    def says(self, *arguments: str, **settings: str) -> list[str]:
        """The lines that a command prints. It must exit with 0 and print nothing on stderr."""
        process = self.start(*arguments, **settings)
        output, errors = process.communicate(timeout=120)
        assert (process.returncode, errors) == (0, ""), output + errors
        return output.splitlines()

    def close(self) -> None:
        """Kill the processes that still run."""
        for process in self.processes:
            process.kill()
            process.communicate(timeout=30)


def waits_for_lock(pid: int) -> bool:
    """Whether a process waits for a lock that another one holds."""
    return bool(re.search(rf"-> FLOCK .* {pid} ", Path("/proc/locks").read_text()))


def error_of(process: "subprocess.Popen[str]") -> str:
    """The message of a command that fails: one line on stderr, and exit status 2."""
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 2, output + errors
    (line,) = errors.splitlines()
    assert line.startswith("rowboat: ")
    return line.removeprefix("rowboat: ")
