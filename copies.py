"""The copies of a database in a folder: their names, their order, and the age of the newest.

Needs the standard library alone, like the parent process (see serve.py)."""

import glob
import math
import re
import time
from pathlib import Path


def folder_of_copies(database: Path) -> Path:
    """Where copies of a database are kept by default: backups/ beside it."""
    return database.parent / "backups"


def name_of_copy(database: Path, folder: Path, now: float, *, compress: bool) -> str:
    """The name of a copy made now: rowboat.2026-01-31T120000Z.db, with .gz behind it if it is compressed.

    If that would not sort behind the copies in the folder, as the clock was set back or a copy was made in this
    second, a number comes behind the time, which all later copies carry."""
    stamp = f"{database.stem}.{time.strftime('%Y-%m-%dT%H%M%SZ', time.gmtime(now))}"
    number, newest = max(map(_order, copies_in(database, folder)), default=(0, ""))
    number += stamp <= newest
    return stamp + f".{number}" * (number > 0) + ".db" + ".gz" * compress


def copies_in(database: Path, folder: Path) -> list[Path]:
    """The copies that have names like those of `name_of_copy`, in the order in which they were made."""
    return _named(database, folder, "[0-9][0-9][0-9][0-9]-*Z.*")


def safety_copies(database: Path) -> list[Path]:
    """The copies made before a migration, a rollback or a restore, in the order in which they were made."""
    return _named(database, folder_of_copies(database), "before-*")


def next_safety_copy(database: Path, what: str) -> Path:
    """Where the next of them goes: backups/rowboat.before-0003.1.db. The number grows, whatever comes after."""
    number = max((_order(path)[0] for path in safety_copies(database)), default=0) + 1
    return folder_of_copies(database) / f"{database.stem}.before-{what}.{number}.db"


def newest_copy(database: Path, now: float) -> float | None:
    """When the newest copy in backups/ was written, in seconds since 1970; None if there is none.

    Copies with a time in the future, which a wrong clock has made, do not count."""
    written = map(_written, copies_in(database, folder_of_copies(database)))
    return max((moment for moment in written if moment <= now), default=None)


def _named(database: Path, folder: Path, pattern: str) -> list[Path]:
    names = glob.glob(f"{glob.escape(database.stem)}.{pattern}", root_dir=folder)
    return sorted((folder / name for name in names if name.endswith((".db", ".db.gz"))), key=_order)


def _order(path: Path) -> tuple[int, str]:
    """The number in a copy's name (0 without one), then the rest of it."""
    found = re.fullmatch(r"(.*?)(?:\.([0-9]+))?\.db(?:\.gz)?", path.name)
    assert found
    return int(found[2] or 0), found[1]


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # deleted meanwhile
        return math.inf
