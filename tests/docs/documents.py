"""Carry out a document in a copy of the project: write its files, run its commands, compare what they print."""

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

# What belongs to this checkout and not to the project. The cache of mypy is copied: it saves half a minute.
_LEFT_OUT = shutil.ignore_patterns(
    *(".venv*", ".mutants", ".git", "data", ".pytest_cache", ".ruff_cache", ".hypothesis", ".schemathesis"),
    *("__pycache__", "results", "build"),
)
_PICTURE = "tests/docs/test_drawing.py::test_the_picture_shows_every_table_column_and_foreign_key"  # needs Graphviz
_NOT_INHERITED = ("ROWBOAT_", "MAKE", "MFLAGS", "PYTEST_")

# A file's text, or lines of it with their place; or commands with what they print.
_STEP = re.compile(
    r"`(?P<path>[\w./]+)`(?:,\s(?P<where>without|(?:below|above|in place of)\s`(?P<anchor>.+?)`))?:\n\n"
    r"```\w+\n(?P<text>.*?)^```$"
    r"|```console\n(?P<session>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


def copy_checkout(source: Path, target: Path) -> Path:
    """A copy of the project with its tests, which uses the same environment. Skips the test if that is missing."""
    if not (source / ".venv/tests").exists() or not shutil.which("curl"):
        pytest.skip("needs curl, and .venv, which `make test` builds")
    shutil.copytree(source, target, ignore=_LEFT_OUT)
    (target / ".venv").symlink_to((source / ".venv").resolve())
    for requirements in target.rglob("*requirements.txt"):
        os.utime(requirements, (0, 0))  # older than the environment: make need not build it
    return target


def carry_out(document: str, home: Path, target: str = "demo") -> None:
    """Do everything that a document says in a copy of the project; fail if a command prints something else than shown.

    Requests to port 8080 go to `make demo`, or another target, which is started for them."""
    port = None
    with ExitStack() as stack:
        shell = stack.enter_context(closing(_Shell(home)))
        for step in steps(document):
            if step["path"]:
                _write(home, step)
            for command, shown in _commands(step["session"] or ""):
                if command == "make schema-drawing" and not shutil.which("dot"):
                    shell.run(".venv/bin/python -m study.drawing")
                    shell.run(f"export PYTEST_ADDOPTS='--deselect {_PICTURE}'")
                    continue
                if ":8080" in command:
                    port = port or stack.enter_context(_server(home, target))
                    command = command.replace(":8080", f":{port}")
                printed = shell.run(re.sub(r"\bcurl (?!--silent)", "curl --silent ", command))
                pattern = ".*".join(re.escape(part) for part in shown.strip().split("…"))
                assert re.fullmatch(pattern, printed.strip(), re.DOTALL), f"{command}\n{printed}"


def steps(document: str) -> Iterator[re.Match[str]]:
    """The files and commands of a document, in order."""
    return _STEP.finditer(document)


def _commands(session: str) -> Iterator[tuple[str, str]]:
    """Each command of a console block, with the output shown below it."""
    for part in re.split(r"^\$ ", session, flags=re.MULTILINE)[1:]:
        command, _, shown = part.partition("\n")
        yield command, shown


def _write(home: Path, step: re.Match[str]) -> None:
    """Write a file, insert lines beside the one line that begins like the anchor, or remove lines, where … stands for
    all lines up to the next one that is shown."""
    path, text, where = home / step["path"], step["text"], (step["where"] or "").partition(" `")[0]
    if not where:
        path.parent.mkdir(exist_ok=True)
    elif where == "without":
        lines = ".*?".join(re.escape(part) for part in text.split("…\n"))
        text, found = re.subn(lines, "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        assert found == 1, f"{step['path']} has {found} times:\n{step['text']}"
    else:
        before = path.read_text(encoding="utf-8").splitlines(keepends=True)
        places = [number for number, line in enumerate(before) if line.strip().startswith(step["anchor"].strip())]
        assert len(places) == 1, f"{step['path']} has {len(places)} lines that begin with {step['anchor']}"
        line = before[places[0]]
        text = {"below": line + text, "above": text + line, "in place of": text}[" ".join(where.split())]
        text = "".join([*before[: places[0]], text, *before[places[0] + 1 :]])
    path.write_text(text, encoding="utf-8")


def _environment() -> dict[str, str]:
    mine = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)}
    return mine | {"ROWBOAT_PORT": "0", "PYTHONUNBUFFERED": "1"}


@contextmanager
def _server(home: Path, target: str) -> Iterator[int]:
    """`make demo` or `make run`, running in a copy; its port."""
    output = home.with_name("output")
    with output.open("w") as log:
        process = subprocess.Popen(
            ["make", target],
            cwd=home,
            env=_environment() | {"ROWBOAT_STUDY": "on"},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        while not (started := re.search(r"Rowboat on http://127\.0\.0\.1:(\d+)/", output.read_text())):
            assert process.poll() is None, output.read_text()
            time.sleep(0.1)
        yield int(started[1])
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(60)


class _Shell:
    """A shell in a folder, for one command after another."""

    def __init__(self, home: Path) -> None:
        self._process = subprocess.Popen(
            ["bash"], cwd=home, env=_environment(), text=True, bufsize=1, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.run("set -o pipefail")

    def run(self, command: str) -> str:
        """What a command prints. It must succeed, and so must every part of a pipe."""
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
        """Kill it, and the command that it still runs."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()
