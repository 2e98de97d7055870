"""The commands of `python app.py`."""

import importlib
import json
import os
import pwd
import select
import shutil
import socket
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
from slugify import slugify

import background
import files
import logs
import terminal
import worker as answer_on
from cleanup import remove_some
from clock import SYSTEM_CLOCK, Clock
from config import PREFIX, Config, ConfigError
from copies import folder_of_copies
from db import Database, Refused, StartupError, Unavailable, schema
from db.backup import back_up
from db.connection import connect, leave_checkpoints_to_others
from db.errors import Unusable
from db.lock import InUse
from db.migrations import (
    Applied,
    Migration,
    find_migrations,
    irreversible,
    migrate,
    pending,
    read_ledger,
    rollback,
    states,
)
from db.script import read_script
from db.statements import SQLFile, find
from handlers import slow_requests, sql_behind
from limits import spare_memory
from metrics import Metrics
from plugins.errors import Problem

HOME = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Project:
    """What the commands work on: the application, its folders, and the clock."""

    make_app: Callable[..., Any]
    routes: Callable[[], Iterable[Any]]
    schema: Path = HOME / "schema"
    sql: Path = HOME / "sql"
    clock: Clock = SYSTEM_CLOCK


def project() -> Project:
    """The project of the command that runs."""
    found: Project = click.get_current_context().obj
    return found


def main(make_app: Callable[..., Any], routes: Callable[[], Iterable[Any]]) -> None:
    """Run the command that the command line names."""
    if sys.argv[1:2] != ["worker"]:  # which needs none of them, and is to stay small
        import cli_accounts  # noqa: F401 (each adds its commands to those of this module)
        import cli_operations  # noqa: F401

    commands(prog_name="python app.py", obj=Project(make_app, routes))


class _Commands(click.Group):
    """Commands whose errors are one line on stderr, and exit status 2."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except (ConfigError, StartupError, Unavailable, Refused, Problem, OSError, sqlite3.Error) as error:
            click.echo(f"rowboat: {error}", err=True)
        except UnicodeEncodeError:
            click.echo("rowboat: an argument is not UTF-8 text", err=True)
        context.exit(2)


@click.group(cls=_Commands, invoke_without_command=True)
@click.pass_context
def commands(context: click.Context) -> None:
    """Rowboat: a small JSON backend, rowed by hand."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


database_option = click.option(
    "--database", type=click.Path(path_type=Path), help="The SQLite file.  [ROWBOAT_DATABASE; data/rowboat.db]"
)


def require_own(path: Path) -> None:
    """As root, refuse to write where another user's files are, who could not open what root leaves there.

    Of a path that does not exist, its nearest folder counts. Raises StartupError, which names the user."""
    if os.geteuid() != 0:
        return
    while not path.exists():
        path = path.parent
    owner = path.stat().st_uid
    if owner != 0:
        try:
            name = pwd.getpwuid(owner).pw_name
        except KeyError:
            name = f"#{owner}"
        raise StartupError(f"{path} belongs to {name}; run this command as that user: sudo -u '{name}' …")


def settings(**flags: Any) -> Config:
    """The settings of the environment, with the flags of a command over them. Raises ConfigError.

    Raises StartupError for root, if the database is another user's: reading it writes beside it, too."""
    config = Config.from_environment(os.environ, **flags)
    for path in (config.database, config.database.parent, folder_of_copies(config.database)):
        require_own(path)
    if not config.checkpoint:
        leave_checkpoints_to_others(config.database)
    return config


@contextmanager
def open_database(**flags: Any) -> Iterator[Database]:
    """The database that the settings name, as it is. Raises StartupError where it is missing or not migrated."""
    config = settings(**flags)
    if not config.database.exists():
        raise StartupError(f"{config.database}: there is no such database; the commands migrate and serve make one")
    _require_migrated(config)
    with closing(_connected(config)) as database:
        yield database


def _open(config: Config) -> Database:
    """The database, migrated or, where the settings say so, found to be."""
    if config.migrate == "check":
        _require_migrated(config)
    else:
        with terminal.report() as report:
            migrate(config.database, project().schema, report, backup=config.migration_backup, clock=project().clock)
    return _connected(config)


def _connected(config: Config) -> Database:
    return Database(
        config.database,
        project().sql,
        config.synchronous,
        clock=project().clock,
        read_limit_s=config.read_limit_ms / 1000,
    )


def _require_migrated(config: Config) -> None:
    waiting = _pending(config)
    if waiting:
        are = "script is" if len(waiting) == 1 else "scripts are"
        raise StartupError(f"{len(waiting)} schema {are} pending, from {waiting[0]}; run the command migrate first")


def _ledger(config: Config) -> list[Applied]:
    """What is applied; nothing where there is no database, which is not created either."""
    if not config.database.exists():
        return []
    with closing(connect(config.database, query_only=True)) as connection:
        return read_ledger(connection)


def _pending(config: Config, to: int | None = None) -> list[Migration]:
    return pending(find_migrations(project().schema), _ledger(config), to)


@commands.command()
@database_option
@click.option("--host", help="The address to listen on.  [ROWBOAT_HOST; 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="The port; 0 takes a free one.  [ROWBOAT_PORT; 8080]")
@click.option("--workers", type=click.IntRange(0, 64), help="Processes.  [ROWBOAT_WORKERS; one a core, at most 4]")
@click.option("--threads", type=click.IntRange(1, 64), help="Threads of each.  [ROWBOAT_THREADS; 5]")
def serve(**flags: Any) -> None:
    """Serve the API; pending schema scripts are applied first."""
    settings(**flags)
    given = {PREFIX + name.upper(): str(value) for name, value in flags.items() if value is not None}
    # The parent shall not carry what the command line has loaded: another program takes over this process.
    os.execve(sys.executable, [sys.executable, str(HOME / "serve.py")], os.environ | given)


@commands.command(hidden=True)
@click.argument("listening", type=int)
@click.argument("tell_ready", type=int)
@click.argument("alive", type=int)
@click.argument("counts", type=click.Path(path_type=Path))
@click.argument("number", type=int)
def worker(listening: int, tell_ready: int, alive: int, counts: Path, number: int) -> None:
    """Answer on the socket of the parent, which starts this (see serve.py)."""
    spare_memory()
    config = settings()
    logs.set_up(config)
    if config.sentry_dsn:
        logs.send_errors(config.sentry_dsn)
    with (
        closing(socket.socket(fileno=listening)) as shared,
        closing(_open(config)) as database,
        background.doing(_jobs(config, database)),
    ):
        draining = threading.Event()
        metrics = Metrics(counts, number)
        application = project().make_app(config, database, draining.is_set, metrics)
        server = answer_on.make_server(application, config, shared, slow_requests(project().routes()))
        metrics.waiting = server.waiting
        answer_on.run(server, config.drain_s, tell_ready, alive, draining)
        metrics.close()
        if select.select([alive], [], [], 0)[0]:  # the parent was killed, and removes nothing
            shutil.rmtree(counts, ignore_errors=True)


def _jobs(config: Config, database: Database) -> dict[str, Callable[[], bool]]:
    """What a worker does beside answering requests."""
    jobs: dict[str, Callable[[], bool]] = {"cleanup": partial(remove_some, database)}
    if config.smtp_url:
        import mail  # not without need: it takes 3 MB of each worker

        jobs["mail"] = partial(mail.send_next, config, database)
    return jobs


@commands.command("migrate")
@database_option
@click.option("--to", type=click.IntRange(0), metavar="N", help="Only up to script N.")
@click.option("--dry-run", is_flag=True, help="Print the SQL that would run, and change nothing.")
def migrate_command(to: int | None, dry_run: bool, **flags: Any) -> None:
    """Apply the schema scripts that are pending."""
    config = settings(**flags)
    if dry_run:
        for migration in _pending(config, to):
            click.echo(f"-- {migration.up.name}\n{read_script(migration.up)}")
        return
    with terminal.report() as report:
        if not config.database.exists():
            report.line(f"new database {config.database}")
        if not migrate(
            config.database, project().schema, report, to=to, backup=config.migration_backup, clock=project().clock
        ):
            report.line("nothing to apply")


@commands.command("rollback")
@database_option
@click.option("--steps", type=click.IntRange(1), metavar="K", help="Undo the newest K scripts; 1 without an option.")
@click.option("--to", type=click.IntRange(0), metavar="N", help="Undo every script above N.")
def rollback_command(steps: int | None, to: int | None, **flags: Any) -> None:
    """Undo the newest schema scripts. Their down scripts say what is lost."""
    if steps and to is not None:
        raise click.UsageError("--steps and --to exclude each other")
    config = settings(**flags)
    target = max(0, len(_ledger(config)) - (steps or 1)) if to is None else to
    # A server would go on with SQL that fits the schema no longer.
    alone = closing(InUse(config.database, alone=True)) if config.database.exists() else nullcontext()
    with terminal.report() as report, alone:
        if not rollback(config.database, project().schema, report, to=target, backup=config.migration_backup):
            report.line("nothing to undo")


@commands.command()
@database_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of lines.")
def status(as_json: bool, **flags: Any) -> None:
    """Show each schema script: applied, pending, edited since it was applied, or missing."""
    found = list(states(find_migrations(project().schema), _ledger(settings(**flags))))
    if as_json:
        rows = [
            {"version": version, "name": name, "state": state}
            | ({"applied_at": row.applied_at, "ms": row.ms} if row else {})
            for state, version, name, row in found
        ]
        click.echo(json.dumps(rows, indent=2))
        return
    for state, version, name, row in found:
        when = f"  {row.applied_at}  {row.ms} ms" if row else ""
        click.echo(f"{version:04d}  {name:<20}  {state:<7}{when}".rstrip())


@commands.group("migration")
def migration_group() -> None:
    """Write and prove schema scripts."""


@migration_group.command("new")
@click.argument("name")
def migration_new(name: str) -> None:
    """Make the next pair of schema scripts, such as 0008_bookmarks.sql, for you to fill in."""
    words = slugify(name, separator="_")
    if not words:
        raise StartupError(f"{name!r} has no letters; name what the script adds, such as bookmarks")
    require_own(project().schema)
    stem = f"{len(find_migrations(project().schema)) + 1:04d}_{words}"
    up, down = project().schema / f"{stem}.sql", project().schema / f"{stem}.down.sql"
    files.create_text(up, "-- What this adds, and why.\n")
    files.create_text(down, "-- What is lost by going back; or, alone, why nobody can.\n")
    click.echo(f"{up}\n{down}")


@migration_group.command("verify")
@click.option(
    "--database",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Verify on a copy of this file, not on demo content.",
)
def migration_verify(database: Path | None) -> None:
    """Apply, undo and apply again each script, on an empty scratch database and on one with rows."""
    if database:
        require_own(database.resolve())
        require_own(database.resolve().parent)
    for line in schema.verify(project().schema):
        click.echo(line)
    with TemporaryDirectory() as folder:
        scratch = Path(folder, "verify.db")
        if database:
            _copy_of_ours(database, scratch)
        else:
            # Rows come before the last script that cannot be undone, if sql/ fits the schema of then.
            lasting = [each.version for each in find_migrations(project().schema) if irreversible(each) is not None]
            for to in [lasting[-1] - 1, None] if lasting else [None]:
                scratch = Path(folder, f"{to}.db")
                if not (reason := _seed(scratch, to)):
                    break
                click.echo(f"not verified with rows: {reason}; --database FILE verifies on a copy of that database")
            else:
                return
        for line in schema.verify_with_rows(scratch, project().schema):
            click.echo(line)


def _copy_of_ours(database: Path, copy: Path) -> None:
    """Copy a database. Raises StartupError for a file that is none of ours."""
    try:
        back_up(database, copy)
        with closing(connect(copy)) as connection:
            read_ledger(connection)
    except Unusable as error:
        raise StartupError(f"{database}: {error.reason}; name another file") from error


def _seed(path: Path, to: int | None) -> str | None:
    """Write a database with some demo content; the reason where seed.py or sql/ do not fit the schema.

    Raises StartupError where a constraint of the schema refuses the content."""
    migrate(path, project().schema, to=to, backup=False, clock=project().clock)
    try:
        demo = importlib.import_module("seed")  # a fork may have deleted it

        database = Database(path, project().sql, clock=project().clock)
        with closing(database):
            demo.sow(database, 10, 40, lambda count: None)
    except (ImportError, StartupError, sqlite3.OperationalError) as error:
        return str(error)
    except sqlite3.IntegrityError as error:
        raise StartupError(f"demo content breaks a constraint of the schema: {error}") from error
    return None


@commands.group("schema")
def schema_group() -> None:
    """Show and compare the schema."""


@schema_group.command("dump")
def schema_dump() -> None:
    """Write schema/schema.sql from the scripts."""
    require_own(project().schema)
    with closing(schema.build(project().schema)) as connection:
        files.replace_text(project().schema / "schema.sql", schema.dump(connection))


@schema_group.command("check")
@database_option
def schema_check(**flags: Any) -> None:
    """Name each difference between a database and what the scripts build; exit status 1 when there is one."""
    with closing(connect(settings(**flags).database, query_only=True)) as connection:
        found = list(schema.differences(connection, project().schema))
    for line in found:
        click.echo(line)
    if found:
        sys.exit(1)
    click.echo("the schema is what the scripts build")


@commands.command()
@database_option
@click.option("--users", type=click.IntRange(1, 10_000), default=50, show_default=True)
@click.option("--articles", type=click.IntRange(0, 1_000_000), default=500, show_default=True)
@click.option("--add", is_flag=True, help="Add to a database that has users already.")
def seed(users: int, articles: int, add: bool, **flags: Any) -> None:
    """Write demo content: people, articles, comments, follows, favorites."""
    import seed as demo  # the one module here that knows articles: whoever goes without them deletes this command

    with closing(_open(settings(**flags))) as database:
        if database.row("users/newest") != {"id": None} and not add:
            raise StartupError(f"{database.path} has users already; --add adds to them")
        with terminal.progress("seeding", users + articles) as advance:
            names = demo.sow(database, users, articles, advance)
    click.echo(f"{users} users and {articles} articles; log in as {names[0]}@example.org with {demo.PASSWORD!r}")


@commands.command()
def routes() -> None:
    """List the routes, and the SQL files behind each."""
    names = find(project().sql)
    for method, path, handler, options in project().routes():
        files = ["sessions/find"] * ("auth" in options) + sql_behind(handler, names)
        click.echo(f"{method:<7} {path:<38} {' '.join(files)}")


@commands.command()
@click.argument("name")
@click.option("--param", "params", multiple=True, metavar="NAME=VALUE", help="A parameter; those left out are NULL.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@database_option
def sql(name: str, params: tuple[str, ...], as_json: bool, **flags: Any) -> None:
    """Run one reading file of sql/, such as articles/find, and print its rows."""
    with open_database(**flags) as database:
        file = database.files.get(name)
        if file is None or file.writes:
            reading = [each.name for each in database.files.values() if not each.writes]
            raise StartupError(f"{name} is not a reading file; there are {', '.join(reading)}")
        columns, rows = database.rows(name, **_bound(file, params))
    if columns == ["response"]:
        for (response,) in rows:
            click.echo(json.dumps(json.loads(response), ensure_ascii=False, indent=2))
    elif as_json:
        click.echo(json.dumps([dict(zip(columns, row, strict=True)) for row in rows], ensure_ascii=False, indent=2))
    else:
        for line in terminal.table(columns, rows):
            click.echo(line)


def _bound(file: SQLFile, params: Iterable[str]) -> dict[str, Any]:
    """The parameters of a file, in the types that its header lists."""
    values: dict[str, Any] = {}
    for param in params:
        name, equals, value = param.partition("=")
        if not equals or name not in file.parameters:
            raise StartupError(
                f"--param {param}: expected NAME=VALUE with one of {', '.join(file.parameters) or 'none'}"
            )
        try:
            values[name] = int(value) if file.parameters[name].startswith("INTEGER") else value
        except ValueError as error:
            raise StartupError(f"--param {param}: {name} is an INTEGER") from error
    for name, kind in file.parameters.items():
        if name not in values and not kind.endswith("NULL"):
            raise StartupError(f"{file.name} needs --param {name}=… ({kind})")
    return dict.fromkeys(file.parameters) | values
