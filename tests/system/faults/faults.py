"""Faults on demand: the library failing_disk.c, loaded into a server or a command, and changed constants."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("failing_disk.c")


def with_constants(project: Path, folder: Path, module: str, **constants: int) -> tuple[str, ...]:
    """What to pass to `serving` as `through`: it serves a copy of the project with other constants in a module."""
    home = shutil.copytree(project, folder / "rowboat")
    text = (home / module).read_text()
    for name, value in constants.items():
        text, changed = re.subn(rf"\b{name}( ?= ?)\d+", rf"{name}\g<1>{value}", text)
        assert changed == 1, name
    (home / module).write_text(text)
    return "sh", "-c", f'shift; exec "$0" "{home}/app.py" "$@"'


class Faults:
    """Faults for the files of a database. `settings` go into the environment of the program that is to suffer."""

    def __init__(self, folder: Path, database: Path) -> None:
        compiler = shutil.which("cc")
        if not compiler:
            pytest.skip("needs a C compiler: the Debian package gcc")
        library, self._control, self._made = (folder / name for name in ("failing_disk.so", "faults", "faults.made"))
        command = [compiler, "-shared", "-fPIC", "-O2", "-o", str(library), str(SOURCE), "-ldl"]
        subprocess.run(command, check=True)
        self.settings = {"LD_PRELOAD": str(library), "FAULTS": str(self._control), "FAULTY": str(database)}

    @contextmanager
    def at_work(self, *lines: str) -> Iterator[None]:
        """Inject these faults meanwhile (see failing_disk.c for the lines)."""
        self.begin(*lines)
        try:
            yield
        finally:
            self.end()

    def begin(self, *lines: str) -> None:
        """Inject these faults from now on."""
        self._made.unlink(missing_ok=True)
        new = self._control.with_suffix(".new")
        new.write_text("".join(f"{line}\n" for line in lines))
        new.replace(self._control)

    def was_made(self) -> bool:
        """Whether a write or a flush has failed since `begin`."""
        return self._made.exists()

    def end(self) -> None:
        """Inject nothing any more."""
        self._control.unlink()
