"""What can go wrong in the database, as the few kinds that a caller can tell apart."""

import sqlite3


class StartupError(Exception):
    """The database or a script cannot be used; the message names it and says what to do."""


class Unusable(StartupError):
    """A file is no sound database: it is damaged, or another kind of file. `advice` is for the database itself."""

    def __init__(self, path: object, reason: str, advice: str) -> None:
        super().__init__(f"{path}: {reason}; {advice}")
        self.reason = reason


class Refused(Exception):
    """A guarded write's verdict: it was not allowed, and changed nothing.

    `verdicts` are the contract's rows, such as "comment: forbidden"."""

    def __init__(self, verdicts: list[str]) -> None:
        super().__init__("; ".join(verdicts))
        self.verdicts = verdicts


class Unavailable(Exception):
    """The database is locked, full or out of reach for now. Nothing of the call was stored."""


class TookTooLong(Unavailable):
    """A read was interrupted at its time limit. `file` is the SQL file that ran."""

    def __init__(self, file: str) -> None:
        super().__init__(f"{file} was interrupted: it reached the time limit of reads")
        self.file = file


# Primary result codes (https://sqlite.org/rescode.html) that say "not now" rather than "not like this".
_NOT_NOW = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_NOTADB,
}


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file itself is at fault: damaged, or not a database."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and (code & 0xFF) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def is_unavailable(error: sqlite3.Error) -> bool:
    """Whether the failure lies in the file, the disk or a lock, and not in what was asked."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and (code & 0xFF) in _NOT_NOW
