"""Disks that fail: what SQLite reads and writes goes to another file for a while."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

FULL = Path("/dev/full")

needs_full_device = pytest.mark.skipif(not FULL.exists(), reason="a full disk needs /dev/full")


def descriptors(path: Path) -> list[int]:
    """The numbers under which this process has the file `path` open."""
    return [number for number in range(3, 1024) if _is(path, number)]


@contextmanager
def full(path: Path) -> Iterator[None]:
    """Every write of this process to the open file `path` finds no space."""
    with _in_place_of(path, os.open(FULL, os.O_RDWR)):
        yield


@contextmanager
def unreadable(path: Path) -> Iterator[None]:
    """Every read of this process from the open file `path` fails."""
    with _in_place_of(path, os.open(path, os.O_WRONLY)):
        yield


@contextmanager
def unwritable(path: Path) -> Iterator[None]:
    """Every write of this process to the open file `path` fails."""
    with _in_place_of(path, os.open(path, os.O_RDONLY)):
        yield


@contextmanager
def _in_place_of(path: Path, other: int) -> Iterator[None]:
    replaced = [number for number in descriptors(path) if number != other]
    assert replaced, f"{path} is not open"
    originals = {number: os.dup(number) for number in replaced}
    for number in replaced:
        os.dup2(other, number, inheritable=False)
    os.close(other)
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
