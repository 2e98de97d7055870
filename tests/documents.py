"""Documents that are done as they say: their files written, their commands run, in a copy of the project."""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

# What belongs to this checkout, and not to the project.
_LEFT_OUT = shutil.ignore_patterns(".venv*", ".git", "data", ".*_cache", ".hypothesis", ".schemathesis", "__pycache__")

# A file's text, or lines for it, below the path in which they belong; or commands with what they print.
_STEP = re.compile(
    r"`(?P<path>[\w./]+)`(?:,\s(?P<where>below|above|in place of)\s`(?P<anchor>.+?)`)?:\n\n```\w+\n(?P<text>.*?)^```$"
    r"|```console\n(?P<session>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


def copy_checkout(source: Path, target: Path) -> Path:
    """A copy of the project with its tests, in the environment of this one; skips the test where that is missing."""
    if not (source / ".venv/tests").exists():
        pytest.skip("needs .venv, which `make test` builds")
    shutil.copytree(source, target, ignore=_LEFT_OUT)
    (target / ".venv").symlink_to((source / ".venv").resolve())
    for requirements in target.rglob("requirements.txt"):
        os.utime(requirements, (0, 0))  # older than the environment, which make is not to build
    return target


@contextmanager
def demo_server(home: Path) -> Iterator[int]:
    """`make demo`, running in a copy; its port."""
    output = home.with_name("output")
    with output.open("w") as log:
        server = subprocess.Popen(
            ["make", "demo"], cwd=home, env=_surroundings(), stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield _port(server, output)
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(10)


def _port(server: subprocess.Popen[bytes], output: Path) -> int:
    for _ in range(300):
        started = re.search(r"Rowboat on http://127\.0\.0\.1:(\d+)/", output.read_text())
        if started:
            return int(started[1])
        assert server.poll() is None, output.read_text()
        time.sleep(0.1)
    raise AssertionError(f"make demo does not serve: {output.read_text()}")


def _surroundings() -> dict[str, str]:
    mine = {name: value for name, value in os.environ.items() if not name.startswith("ROWBOAT_")}
    return mine | {"ROWBOAT_PORT": "0", "PYTHONUNBUFFERED": "1"}


class Shell:
    """A shell in a folder, in which commands are typed one after another."""

    def __init__(self, home: Path) -> None:
        self._process = subprocess.Popen(
            ["bash"], cwd=home, env=_surroundings(), text=True, bufsize=1, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.says("set -o pipefail")

    def says(self, command: str) -> str:
        """What a command prints. It must end well, and so must every part of a pipe."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f'{command}\necho; echo "[ended $?]"\n')
        printed = ""
        for line in self._process.stdout:
            if ended := re.fullmatch(r"\[ended (\d+)\]\n", line):
                assert ended[1] == "0", f"{command}\n{printed}"
                return printed[:-1]
            printed += line
        raise AssertionError(f"{command}\n{printed}")

    def close(self) -> None:
        """Leave it."""
        self._process.kill()
        self._process.communicate()


def steps(document: str) -> Iterator[re.Match[str]]:
    """What a document asks to be done, in order."""
    return _STEP.finditer(document)


def write(home: Path, step: re.Match[str]) -> None:
    """Do a step that is about a file: write it, or put lines beside the one line that begins like the anchor."""
    path = home / step["path"]
    if not step["where"]:
        path.parent.mkdir(exist_ok=True)
        path.write_text(step["text"], encoding="utf-8")
        return
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    (place,) = [number for number, line in enumerate(lines) if line.strip().startswith(step["anchor"].strip())]
    first, last = {"below": (place + 1, place + 1), "above": (place, place), "in place of": (place, place + 1)}[
        step["where"]
    ]
    lines[first:last] = [step["text"]]
    path.write_text("".join(lines), encoding="utf-8")


def commands(session: str) -> Iterator[tuple[str, str]]:
    """Each command of a console block, with what is shown below it."""
    for part in re.split(r"^\$ ", session, flags=re.MULTILINE)[1:]:
        command, _, shown = part.partition("\n")
        yield command, shown


def is_shown(shown: str, printed: str) -> bool:
    """Whether that is what was printed; … stands for anything."""
    pattern = ".*".join(re.escape(part) for part in shown.strip().split("…"))
    return re.fullmatch(pattern, printed.strip(), re.DOTALL) is not None
