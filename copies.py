"""The copies of a database that stand in a folder: what they are called, which is the newest, which are deleted.

Times are seconds since 1970. It needs the standard library alone, like the parent process (see serve.py)."""

import glob
import math
import time
from pathlib import Path

_DAY = 24 * 60 * 60

# How the names of what is half done end: the copy, what SQLite keeps beside it, and the packed copy.
_HALF_DONE = (".partial", ".partial-journal", ".partial-wal", ".partial-shm", ".packed")


def folder_of_copies(database: Path) -> Path:
    """Where copies of a database stand that were given no other place: backups/ beside it."""
    return database.parent / "backups"


def name_of_copy(database: Path, now: float, *, compress: bool) -> str:
    """What a copy that is made now is called: rowboat.2026-01-31T120000Z.db, with .gz behind it when it is packed."""
    return f"{database.stem}.{time.strftime('%Y-%m-%dT%H%M%SZ', time.gmtime(now))}.db" + ".gz" * compress


def newest_copy(database: Path, now: float) -> float | None:
    """When the newest copy in backups/ was written, in seconds since 1970; None where there is none.

    What a clock that was wrong has dated in the future does not count."""
    written = map(_written, _named(database, folder_of_copies(database), ".db", ".db.gz"))
    return max((moment for moment in written if moment <= now), default=None)


def prune(database: Path, folder: Path, keep: int, made: Path, now: float) -> list[Path]:
    """Delete all but the newest `keep` copies and the one just made, and what was left half done a day ago.

    Returns which."""
    old = [copy for copy in _named(database, folder, ".db", ".db.gz")[:-keep] if copy != made]
    old += [path for path in _named(database, folder, *_HALF_DONE) if _written(path) < now - _DAY]
    for path in old:
        path.unlink(missing_ok=True)
    return old


def _named(database: Path, folder: Path, *ends: str) -> list[Path]:
    """What has a name like that of `name_of_copy`, with one of these ends, the oldest first."""
    names = glob.glob(f"{glob.escape(database.stem)}.[0-9][0-9][0-9][0-9]-*Z.db*", root_dir=folder)
    return [folder / name for name in sorted(names) if name.endswith(ends)]


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # it was deleted meanwhile
        return math.inf
