"""How the commands talk to people: lines, tables, progress, and what is typed unseen."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import click

from db import StartupError
from db.migrations import Report


def ask_password() -> str:
    """A password: typed twice without being shown, or, where nobody sits at a terminal, a line of standard input."""
    if sys.stdin.isatty():
        typed: str = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
        return typed
    line = sys.stdin.buffer.readline().rstrip(b"\r\n")
    try:
        return line.decode()
    except UnicodeDecodeError:
        raise StartupError("the password on standard input is not UTF-8") from None


def _say(text: str) -> None:
    """Print a line; nobody has to listen to the end."""
    with suppress(OSError):
        click.echo(text)


@contextmanager
def report() -> Iterator[Report]:
    """Where the runner tells what it does: lines, and on a terminal also what is running."""
    if not sys.stderr.isatty():
        yield Report(_say)
        return

    shown = ""

    def show(text: str, share: float | None = None) -> None:
        nonlocal shown
        if share is not None:
            text = f"{text:<24} [{'#' * round(40 * share):<40}] {share:4.0%}"
        if text != shown:
            click.echo(f"\r{text[:78]:<78}\r", nl=False, err=True)
            shown = text

    def line(text: str) -> None:
        show("")
        _say(text)

    try:
        yield Report(line, show)
    finally:
        show("")


def table(columns: list[str], rows: list[tuple[Any, ...]]) -> Iterator[str]:
    """The lines of a table; None is NULL."""
    lines = [columns, *([str("NULL" if value is None else value) for value in row] for row in rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(columns))]
    lines.insert(1, ["-" * width for width in widths])
    for line in lines:
        yield "  ".join(value.ljust(width) for value, width in zip(line, widths, strict=True)).rstrip()


@contextmanager
def progress(label: str, steps: int) -> Iterator[Callable[[int], None]]:
    """A function that counts steps done: as a bar on a terminal, elsewhere as a plain line at each quarter."""
    if sys.stderr.isatty():
        with click.progressbar(length=steps, label=label, file=sys.stderr) as bar:
            yield bar.update
        return
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        before, done = done, done + count
        if done * 4 // steps > before * 4 // steps:
            click.echo(f"{label}: {done} of {steps}", err=True)

    yield advance
