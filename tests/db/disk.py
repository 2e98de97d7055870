"""Failing disks: for a while, what SQLite reads and writes goes to another file."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

FULL = Path("/dev/full")

needs_full_device = pytest.mark.skipif(not FULL.exists(), reason="a full disk needs /dev/full")


def full(path: Path) -> AbstractContextManager[None]:
    """Writes to the open file `path` fail for lack of space."""
    return _replaced(path, FULL, os.O_RDWR)


def unreadable(path: Path) -> AbstractContextManager[None]:
    """Reads from the open file `path` fail."""
    return _replaced(path, path, os.O_WRONLY)


def unwritable(path: Path) -> AbstractContextManager[None]:
    """Writes to the open file `path` fail."""
    return _replaced(path, path, os.O_RDONLY)


def descriptors(path: Path) -> list[int]:
    """The numbers under which this process has the file `path` open."""
    return [number for number in range(3, 1024) if _is(path, number)]


@contextmanager
def _replaced(path: Path, other: Path, flags: int) -> Iterator[None]:
    originals = {number: os.dup(number) for number in descriptors(path)}
    assert originals, f"{path} is not open"
    replacement = os.open(other, flags)
    for number in originals:
        os.dup2(replacement, number, inheritable=False)
    os.close(replacement)
    try:
        yield
    finally:
        for number, original in originals.items():
            os.dup2(original, number, inheritable=False)
            os.close(original)


def _is(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False
