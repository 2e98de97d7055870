"""Documents that are done as they say: their files written, their commands run, in a copy of the project."""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

# What belongs to this checkout, and not to the project.
_LEFT_OUT = shutil.ignore_patterns(
    *(".venv*", ".mutants", ".git", "data", ".*_cache", ".hypothesis", ".schemathesis", "__pycache__"),
    *("results", "build"),  # of bench/
)

# What of the drawing only Graphviz can do.
_PICTURE = "tests/test_drawing.py::test_the_picture_shows_every_table_column_and_foreign_key"

# Settings of ours, and what `make` and pytest tell those whom they start.
_NOT_THE_READERS = ("ROWBOAT_", "MAKE", "MFLAGS", "PYTEST_")

# A file's text, or lines of it, below the path in which they belong; or commands with what they print.
_STEP = re.compile(
    r"`(?P<path>[\w./]+)`(?:,\s(?P<where>without|(?:below|above|in place of)\s`(?P<anchor>.+?)`))?:\n\n"
    r"```\w+\n(?P<text>.*?)^```$"
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
def server(home: Path, target: str = "demo") -> Iterator[int]:
    """`make demo`, running in a copy, or `make run`; its port."""
    output = home.with_name("output")
    with output.open("w") as log:
        process = subprocess.Popen(
            ["make", target], cwd=home, env=_surroundings(), stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield _port(process, output)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(60)


def _port(process: subprocess.Popen[bytes], output: Path) -> int:
    for _ in range(600):
        started = re.search(r"Rowboat on http://127\.0\.0\.1:(\d+)/", output.read_text())
        if started:
            return int(started[1])
        assert process.poll() is None, output.read_text()
        time.sleep(0.1)
    raise AssertionError(f"nothing is served: {output.read_text()}")


def _surroundings() -> dict[str, str]:
    mine = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_THE_READERS)}
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
        self._process.stdin.write(f"{command}\nprintf '\\n[ended %s]\\n' $?\n")
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
    """Do a step that is about a file: write it, or put lines beside the one line that begins like the anchor, or take
    lines out of it, where … stands for all lines up to the next one that is shown."""
    path, text, where = home / step["path"], step["text"], (step["where"] or "").partition(" `")[0]
    if not where:
        path.parent.mkdir(exist_ok=True)
    elif where == "without":
        lines = ".*?".join(re.escape(part) for part in text.split("…\n"))
        text, found = re.subn(lines, "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        assert found == 1, f"{step['path']} has {found} times:\n{step['text']}"
    else:
        before = path.read_text(encoding="utf-8").splitlines(keepends=True)
        (place,) = [number for number, line in enumerate(before) if line.strip().startswith(step["anchor"].strip())]
        line = before[place]
        text = {"below": line + text, "above": text + line, "in place of": text}[" ".join(where.split())]
        text = "".join([*before[:place], text, *before[place + 1 :]])
    path.write_text(text, encoding="utf-8")


def commands(session: str) -> Iterator[tuple[str, str]]:
    """Each command of a console block, with what is shown below it."""
    for part in re.split(r"^\$ ", session, flags=re.MULTILINE)[1:]:
        command, _, shown = part.partition("\n")
        yield command, shown


def do(document: str, home: Path, target: str = "demo") -> None:
    """Do everything that a document says in a copy of the project, and fail where something else is printed than it
    shows. What asks port 8080 asks `make demo`, or another target, which is started for it."""
    port = None
    with ExitStack() as stack:
        shell = stack.enter_context(closing(Shell(home)))
        for step in steps(document):
            if step["path"]:
                write(home, step)
            for command, shown in commands(step["session"] or ""):
                if command == "make schema-drawing" and not shutil.which("dot"):
                    shell.says(".venv/bin/python -m study.drawing")
                    shell.says(f"export PYTEST_ADDOPTS='--deselect {_PICTURE}'")
                    continue
                if ":8080" in command:
                    port = port or stack.enter_context(server(home, target))
                    command = command.replace(":8080", f":{port}")
                printed = shell.says(command)
                assert is_shown(shown, printed), f"{command}\n{printed}"


def is_shown(shown: str, printed: str) -> bool:
    """Whether that is what was printed; … stands for anything."""
    pattern = ".*".join(re.escape(part) for part in shown.strip().split("…"))
    return re.fullmatch(pattern, printed.strip(), re.DOTALL) is not None
