"""Creating files and folders where other users may have planted links, pipes or files of their own.

Needs the standard library alone, like the parent process (see serve.py)."""

import errno
import fcntl
import os
import stat
from contextlib import suppress
from pathlib import Path


def create(path: Path, mode: int = 0o600) -> int:
    """A descriptor of a new file. Raises FileExistsError if the name is taken, also by a link to nowhere."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)


def create_text(path: Path, text: str) -> None:
    """Write a new text file. Raises FileExistsError if the name is taken."""
    with open(create(path, 0o666), "w", encoding="utf-8") as file:
        file.write(text)


def replace_text(path: Path, text: str) -> None:
    """Write a text file in the place of an older one, all or nothing. A link is replaced, not followed."""
    new = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
    try:
        create_text(new, text)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def open_lock(path: Path, *, create: bool = True) -> int:
    """A descriptor of a lock file, which is created if missing. Raises OSError, also for a link or a pipe."""
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, flags | (os.O_CREAT if create else 0), 0o600)
    found = os.fstat(descriptor)
    if stat.S_ISREG(found.st_mode) and found.st_nlink <= 1:
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EEXIST, "not a regular file with one name; remove it", str(path))


def hold(folder: Path) -> int:
    """A descriptor that locks a folder until it is closed, or the process ends. Raises OSError if another holds it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def remove_abandoned(folder: Path, pattern: str) -> list[Path]:
    """Remove our folders of these names that no process holds: their makers were killed. Returns which."""
    removed = []
    for path in sorted(folder.glob(pattern)):
        with suppress(OSError):
            descriptor = hold(path)
            try:
                if os.fstat(descriptor).st_uid == os.geteuid():
                    import shutil  # here, because the parent process rarely needs it

                    shutil.rmtree(path)
                    removed.append(path)
            finally:
                os.close(descriptor)
    return removed


def is_private(folder: Path) -> bool:
    """Whether this is a folder, not a link to one, that belongs to this user and is closed to all others."""
    try:
        found = os.lstat(folder)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not stat.S_IMODE(found.st_mode) & 0o077
