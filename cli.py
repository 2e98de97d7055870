"""The commands of `python app.py`."""

import json
import os
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import click

import seed as demo
import serve as server
from config import Config, ConfigError
from db import Database, StartupError
from db.connection import connect
from db.migrations import applied, find_scripts, migrate, pending
from db.statements import SQLFile, find
from handlers import sql_behind

HOME = Path(__file__).resolve().parent
SCHEMA = HOME / "schema"
SQL = HOME / "sql"


def main(make_app: Callable[[Config, Database], Any], routes: Callable[[], Iterable[Any]]) -> None:
    """Run the command that the command line names. What goes wrong is one line on stderr and exit status 2."""
    try:
        commands(prog_name="python app.py", obj={"make_app": make_app, "routes": routes})
    except (ConfigError, StartupError) as error:
        click.echo(f"rowboat: {error}", err=True)
        sys.exit(2)


@click.group(invoke_without_command=True)
@click.pass_context
def commands(context: click.Context) -> None:
    """Rowboat: a small JSON backend, rowed by hand."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


_database_option = click.option(
    "--database", type=click.Path(path_type=Path), help="The SQLite file.  [ROWBOAT_DATABASE; data/rowboat.db]"
)


def _config(**flags: Any) -> Config:
    return Config.from_environment(os.environ, **flags)


def _open(config: Config) -> Database:
    """The database, migrated."""
    migrate(config.database, SCHEMA, click.echo)
    return Database(config.database, SQL, config.synchronous)


@commands.command()
@_database_option
@click.option("--host", help="The address to listen on.  [ROWBOAT_HOST; 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="The port; 0 takes a free one.  [ROWBOAT_PORT; 8080]")
@click.option("--threads", type=click.IntRange(1, 64), help="Threads that answer.  [ROWBOAT_THREADS; 4]")
@click.pass_context
def serve(context: click.Context, /, **flags: Any) -> None:
    """Serve the API; pending schema scripts are applied first."""
    config = _config(**flags)
    # The port comes first: when it is in use, nothing else has happened yet.
    with closing(server.listen(config.host, config.port)) as listening, closing(_open(config)) as database:
        click.echo(f"Rowboat on {server.url(listening)}/api (SQLite {sqlite3.sqlite_version}, {config.database})")
        server.run(context.obj["make_app"](config, database), listening, config.threads)


@commands.command("migrate")
@_database_option
def migrate_command(**flags: Any) -> None:
    """Apply the schema scripts that are pending."""
    config = _config(**flags)
    if not migrate(config.database, SCHEMA, click.echo):
        click.echo("nothing to apply")


@commands.command()
@_database_option
def status(**flags: Any) -> None:
    """Show which schema scripts are applied, and which are pending."""
    config = _config(**flags)
    scripts = find_scripts(SCHEMA)
    ledger = []
    if config.database.exists():
        with closing(connect(config.database, query_only=True)) as connection:
            ledger = applied(connection)
    waiting = pending(scripts, ledger)
    for row in ledger:
        click.echo(f"{row.version:04d} {row.name:<20} applied {row.applied_at} in {row.ms} ms")
    for script in waiting:
        click.echo(f"{script.version:04d} {script.name:<20} pending")


@commands.command()
@_database_option
@click.option("--users", type=click.IntRange(1, 10_000), default=50, show_default=True)
@click.option("--articles", type=click.IntRange(0, 1_000_000), default=500, show_default=True)
@click.option("--add", is_flag=True, help="Add to a database that has users already.")
def seed(users: int, articles: int, add: bool, **flags: Any) -> None:
    """Write demo content: people, articles, comments, follows, favorites."""
    with closing(_open(_config(**flags))) as database:
        if database.row("users/newest") != {"id": None} and not add:
            raise StartupError(f"{database.path} has users already; --add adds to them")
        with _progress("seeding", users + articles) as advance:
            names = demo.sow(database, users, articles, advance)
    click.echo(f"{users} users and {articles} articles; log in as {names[0]}@example.org with {demo.PASSWORD!r}")


@commands.command()
@click.pass_context
def routes(context: click.Context) -> None:
    """List the routes, and the SQL files behind each."""
    names = find(SQL)
    for method, path, handler, options in context.obj["routes"]():
        files = ["sessions/find"] * ("auth" in options) + sql_behind(handler, names)
        click.echo(f"{method:<7} {path:<38} {' '.join(files)}")


@commands.command()
@click.argument("name")
@click.option("--param", "params", multiple=True, metavar="NAME=VALUE", help="A parameter; those left out are NULL.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@_database_option
def sql(name: str, params: tuple[str, ...], as_json: bool, **flags: Any) -> None:
    """Run one reading file of sql/, such as articles/find, and print its rows."""
    with closing(Database(_config(**flags).database, SQL)) as database:
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
        for line in _table(columns, rows):
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


def _table(columns: list[str], rows: list[tuple[Any, ...]]) -> Iterator[str]:
    lines = [columns, *([str("NULL" if value is None else value) for value in row] for row in rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(columns))]
    lines.insert(1, ["-" * width for width in widths])
    for line in lines:
        yield "  ".join(value.ljust(width) for value, width in zip(line, widths, strict=True)).rstrip()


@contextmanager
def _progress(label: str, steps: int) -> Iterator[Callable[[int], None]]:
    """A function that counts steps done: as a bar on a terminal, elsewhere as a plain line at each quarter."""
    if sys.stderr.isatty():
        with click.progressbar(length=steps, label=label, file=sys.stderr) as bar:
            yield bar.update
        return
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        before, done = done, done + count
        if done * 4 // steps > before * 4 // steps:
            click.echo(f"{label}: {done} of {steps}", err=True)

    yield advance
