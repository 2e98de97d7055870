"""The fixtures of tests that start processes, open sockets or need wall time."""

import compileall
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from clock import SYSTEM_CLOCK, Clock
from tests.conftest import HOME
from tests.system.commands import Fork, copy_project


@pytest.fixture(autouse=True)
def in_process() -> None:
    """What these tests need is what the others must not do."""


@pytest.fixture
def clock() -> Clock:
    """The system's clock."""
    return SYSTEM_CLOCK


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, to be copied."""
    path = tmp_path_factory.mktemp("project") / "rowboat"
    copy_project(HOME, path)
    compileall.compile_dir(path, quiet=1)
    return path


@pytest.fixture
def fork(project: Path, tmp_path: Path) -> Iterator[Fork]:
    """The test's own copy of the project, for its command line."""
    shutil.copytree(project, tmp_path / "fork")
    with closing(Fork(tmp_path / "fork", tmp_path / "data")) as fork:
        yield fork
