"""Whether a worker should be sent requests: what /readyz answers."""

import json
import os
import shutil
import sqlite3
from collections.abc import Callable

import files
from config import Config
from db import Database, Unavailable

# Whoever asks gives up after some seconds, and is to learn why before.
_PATIENCE_S = 1


def readiness(config: Config, database: Database, is_draining: Callable[[], bool]) -> Callable[[], tuple[bool, str]]:
    """A function that says whether all is well, and the body of /readyz: each check with "ok" or what is wrong."""
    newest = database.row("checks/version")

    def readable() -> str | None:
        found = database.row("checks/version")
        return None if found == newest else "the schema was changed by other code; restart"

    def writable() -> str | None:
        turn = database.submit("checks/write")
        try:
            turn.result(_PATIENCE_S)
        except TimeoutError:
            turn.cancel()
            return f"no turn to write within {_PATIENCE_S} second"
        # That changed nothing, and so wrote nothing. Nobody reads what stands in this file.
        descriptor = files.open_lock(database.path.with_name(database.path.name + ".lock"), create=False)
        try:
            os.pwrite(descriptor, b"\n", 0)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return None

    def disk() -> str | None:
        free = shutil.disk_usage(database.path.parent).free >> 20
        return (
            None if free >= config.min_free_mb else f"{free} MB are free; ROWBOAT_MIN_FREE_MB is {config.min_free_mb}"
        )

    def draining() -> str | None:
        return "the worker is about to stop" if is_draining() else None

    checks = {"migrations": readable, "database": writable, "disk": disk, "draining": draining}

    def look() -> tuple[bool, str]:
        found = {}
        for name, check in checks.items():
            try:
                found[name] = check() or "ok"
            except (Unavailable, OSError) as error:
                found[name] = str(error)
        ready = set(found.values()) == {"ok"}
        return ready, json.dumps({"ready": ready, "sqlite": sqlite3.sqlite_version, "checks": found})

    return look
