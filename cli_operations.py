"""The commands for those who keep it running: `backup`, `restore`, `check`."""

import signal
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from types import FrameType
from typing import Any

import click

import terminal
from cli import commands, database_option, open_database, project, require_own, settings
from copies import folder_of_copies, name_of_copy
from db import Database, StartupError
from db.backup import back_up, prune
from db.connection import WAL_BYTES
from db.restore import SOUND_SQLITE, problems, rebuild_search
from db.restore import restore as put_back
from handlers.words import index, wrongly_indexed

# So many wrong counters are shown; there may be as many as rows.
_MOST_SHOWN = 20


@commands.command()
@click.argument("target", required=False, type=click.Path(path_type=Path))
@click.option("--gzip", "compress", is_flag=True, help="Pack the copy.")
@click.option("--keep", type=click.IntRange(1), metavar="N", help="Delete all but the newest N copies in the folder.")
@database_option
def backup(target: Path | None, compress: bool, keep: int | None, **flags: Any) -> None:
    """Write a verified copy of the database, also while it is served.

    TARGET is a file, or a folder, in which the copy is named by the time; without it backups/ beside the database."""
    database = settings(**flags).database
    if not database.exists():
        raise StartupError(f"{database}: there is no such database")
    folder = target or folder_of_copies(database)
    if not target:
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise StartupError(f"{folder}: {error.strerror}; copies need a folder that can be written") from error
    if folder.is_dir():
        target = folder / name_of_copy(database, folder, project().clock.seconds(), compress=compress)
    elif keep:
        raise StartupError(f"--keep {keep}: {folder} is no folder; name one, whose older copies are then deleted")
    else:
        target = folder
    require_own(target.parent.resolve())
    signal.signal(signal.SIGTERM, _interrupt)
    with terminal.report() as report:
        try:
            back_up(database, target, report.running, compress=compress)
        except KeyboardInterrupt:
            raise StartupError(f"{target}: the copy failed: interrupted") from None
        report.line(str(target))
        for old in prune(database, folder, keep, target) if keep else []:
            report.line(f"deleted {old}")


def _interrupt(signum: int, frame: FrameType | None) -> None:
    """End like Ctrl-C, which clears away what is half done; once more does not disturb that."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


@commands.command()
@click.argument("copy", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@database_option
def restore(copy: Path, **flags: Any) -> None:
    """Replace the database by a copy, compressed or not, also while it is served; the old content is kept.

    Sessions, tokens to reset passwords and queued mails of the copy do not come back."""
    database = settings(**flags).database
    forgotten = ""

    def forget(plain: Path) -> None:
        nonlocal forgotten
        with closing(Database(plain, project().sql, clock=project().clock)) as opened:
            if "copies/forget" not in opened.files:  # a fork without accounts
                return
            counted = opened.row("copies/forgettable") or {}
            opened.write("copies/forget")
        forgotten = ", ".join(f"{count} {what.replace('_', ' ')}" for what, count in counted.items())

    with terminal.report() as report:
        kept = put_back(copy, database, project().schema, report, prepare=forget, clock=project().clock)
        report.line(f"{database} is {copy} now" + (f"; what it was is {kept}" if kept else ""))
        if forgotten:
            report.line(f"not restored: {forgotten}; accounts and content deleted since the copy are back")


@commands.command()
@click.option("--repair", is_flag=True, help="First make the counters and the search index anew.")
@database_option
def check(repair: bool, **flags: Any) -> None:
    """Look for damage, rows without their parents, drift of the schema, wrong counters; exit status 1 for any."""
    config = settings(**flags)
    database = config.database
    if sqlite3.sqlite_version_info < SOUND_SQLITE:
        sound = ".".join(map(str, SOUND_SQLITE))
        click.echo(
            f"SQLite is {sqlite3.sqlite_version}: below {sound}, two connections that checkpoint at once can corrupt a "
            "database. Rowboat's take turns; other programs that write the file may not."
        )
    wal = database.with_name(database.name + "-wal")
    if not config.checkpoint and wal.exists() and wal.stat().st_size > WAL_BYTES:
        click.echo(f"{wal} has {wal.stat().st_size >> 20} MiB: ROWBOAT_CHECKPOINT is off, so that Litestream must run.")
    found = list(problems(database, project().schema))
    if repair and not any(line.startswith("integrity: ") for line in found):
        rebuild_search(database)
        with open_database(**flags) as opened:
            opened.write("counters/rebuild")
            for article in wrongly_indexed(opened):
                index(opened, article)
        found = list(problems(database, project().schema))
    if not found:  # else the files may not fit the schema
        with open_database(**flags) as opened:
            found += [
                f"counters: {counter} of {row} is {kept}, and should be {counted}"
                for counter, row, kept, counted in opened.rows("counters/wrong")[1]
            ]
            if wrong := sum(1 for _ in wrongly_indexed(opened)):
                found.append(f"search: {wrong} articles are not found by their words; `check --repair` indexes them")
    for line in found[:_MOST_SHOWN]:
        click.echo(line)
    if len(found) > _MOST_SHOWN:
        click.echo(f"… and {len(found) - _MOST_SHOWN} more")
    if found:
        sys.exit(1)
    click.echo(f"{database} is as it should be")
