"""The command line as somebody types it, in a copy of the project whose schema/ is theirs to change."""

import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.db.scripts import Scripts

# What belongs to this checkout, and not to the project.
_LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "data", "tests", "bench")


def copy_project(source: Path, target: Path) -> None:
    """Copy what a fork begins with."""
    shutil.copytree(source, target, ignore=_LEFT_OUT)


class Fork(Scripts):
    """A copy of the project. Its database is where ROWBOAT_DATABASE says, and does not exist yet."""

    def __init__(self, home: Path, folder: Path) -> None:
        super().__init__(home)
        self.home = home
        self.database = folder / "rowboat.db"
        self.processes: list[subprocess.Popen[str]] = []

    def empty(self) -> None:
        """Take all the project's scripts away, as a fork does that begins anew."""
        for path in self.folder.iterdir():
            path.unlink()

    def start(self, *arguments: str, terminal: int = -1, typed: str = "", **settings: str) -> "subprocess.Popen[str]":
        """Start a command. With `terminal`, that descriptor is its stderr; `typed` waits on its standard input."""
        reading, writing = os.pipe()
        os.write(writing, typed.encode(errors="surrogateescape"))
        os.close(writing)
        # Whoever runs the tests in the background has Ctrl-C switched off, and children inherit that.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        surroundings = {name: value for name, value in os.environ.items() if not name.startswith("ROWBOAT_")}
        process = subprocess.Popen(
            [sys.executable, "app.py", *arguments],
            cwd=self.home,
            env=surroundings | {"ROWBOAT_DATABASE": str(self.database)} | settings,
            stdin=reading,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if terminal < 0 else terminal,
            text=True,
        )
        os.close(reading)
        signal.signal(signal.SIGINT, before)
        self.processes.append(process)
        return process

    def says(self, *arguments: str, status: int = 0, **settings: str) -> list[str]:
        """The lines that a command prints. It must end with this exit status and nothing on stderr."""
        process = self.start(*arguments, **settings)
        output, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (status, ""), output + errors
        return output.splitlines()

    def error(self, *arguments: str, **settings: str) -> str:
        """What a command that fails has to say: one line on stderr, and exit status 2."""
        return error_of(self.start(*arguments, **settings))

    def on_a_terminal(self, *arguments: str, **settings: str) -> tuple[str, str]:
        """What a command prints on stdout, which is a pipe, and what it writes to a terminal as stderr."""
        ours, theirs = pty.openpty()
        process = self.start(*arguments, terminal=theirs, **settings)
        os.close(theirs)
        written = b""
        try:
            while part := os.read(ours, 65536):
                written += part
        except OSError:  # the terminal's other side is closed
            pass
        os.close(ours)
        return process.communicate(timeout=60)[0], written.decode().replace("\r\n", "\n")

    def wait_for_wal(self, process: "subprocess.Popen[Any]", size: int) -> None:
        """Return once a running command has written that many bytes beside the database."""
        self.wait_for_file(process, self.database.with_name(self.database.name + "-wal"), size)

    def wait_for_file(self, process: "subprocess.Popen[Any]", path: Path, size: int = 0) -> None:
        """Return once a running command has written that many bytes to a file."""
        while not path.exists() or path.stat().st_size < size:
            assert process.poll() is None, process.communicate()
            time.sleep(0.002)

    def wait_until_waiting(self, process: "subprocess.Popen[Any]") -> None:
        """Return once a command waits for the lock that somebody else holds."""
        while not re.search(rf"-> FLOCK .* {process.pid} ", Path("/proc/locks").read_text()):
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)

    def close(self) -> None:
        """Stop what still runs."""
        for process in self.processes:
            process.kill()
            process.communicate(timeout=30)


def error_of(process: "subprocess.Popen[str]") -> str:
    """What a process that fails has to say: one line on stderr, and exit status 2."""
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 2, output + errors
    (line,) = errors.splitlines()
    assert line.startswith("rowboat: ")
    return line.removeprefix("rowboat: ")


def screen(written: str) -> list[str]:
    """The lines that stand on a terminal in the end: what follows a carriage return overwrites what was there."""
    lines = []
    for line in written.split("\n"):
        visible = ""
        for part in line.split("\r"):
            visible = part + visible[len(part) :]
        lines.append(visible.rstrip())
    return [line for line in lines if line]


def port_of(process: "subprocess.Popen[str]") -> tuple[list[str], int]:
    """What a server prints before it listens, and its port."""
    assert process.stdout
    assert process.stderr
    lines = []
    for line in process.stdout:
        if found := re.match(r"Rowboat on http://127\.0\.0\.1:(\d+)/api ", line):
            return lines, int(found[1])
        lines.append(line.rstrip("\n"))
    raise AssertionError(process.stderr.read())
