"""What mutmut needs of pytest: a name that tests no longer have, and that an application starts in no time."""

import sqlite3
from pathlib import Path

import pytest

import db.database
from db.statements import SQLFile, load

_loaded: dict[Path, dict[str, SQLFile]] = {}


def pytest_configure(config: pytest.Config) -> None:
    """Compile the files of sql/ once: for each application anew, it takes longer than most tests."""

    def load_once(folder: Path, connection: sqlite3.Connection) -> dict[str, SQLFile]:
        if folder not in _loaded:
            _loaded[folder] = load(folder, connection)
        return _loaded[folder]

    db.database.load = load_once


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """mutmut 3.8 knows tests by what pytest called so until 9.1."""
    for item in items:
        item._nodeid = item.nodeid
