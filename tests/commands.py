"""The command line in this process, on schema scripts and a database of the test's own."""

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from click.testing import CliRunner, Result

import app
import cli
import cli_accounts  # noqa: F401 (adds its commands)
import cli_operations  # noqa: F401 (likewise)
from clock import Clock
from tests.db.scripts import Scripts

HOME = Path(app.__file__).parent

# The number of the newest schema script, as in its name.
NEWEST = max(path.name[:4] for path in (HOME / "schema").glob("[0-9]*.sql"))


class Commands(Scripts):
    """The commands, run on a copy of schema/. ROWBOAT_DATABASE is `database`, which does not exist yet."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        shutil.copytree(HOME / "schema", folder / "schema")
        super().__init__(folder)
        self.project = cli.Project(app.make_app, app.routes, schema=self.folder, clock=clock)

    def run(self, *arguments: str, typed: str | bytes = "", **settings: str) -> Result:
        """Run a command; `typed` is its standard input, `settings` are environment variables."""
        inherited = dict.fromkeys(name for name in os.environ if name.startswith("ROWBOAT_"))
        with _signals_kept():
            return CliRunner().invoke(
                cli.commands,
                arguments,
                input=typed,
                env=inherited
                # Reads have time, however busy the machine is.
                | {"ROWBOAT_DATABASE": str(self.database), "ROWBOAT_READ_LIMIT_MS": "3600000"}
                | settings,
                obj=self.project,
                prog_name="python app.py",
            )

    def says(self, *arguments: str, status: int = 0, typed: str | bytes = "", **settings: str) -> list[str]:
        """The lines that a command prints. It must end with this exit status and nothing on stderr."""
        result = self.run(*arguments, typed=typed, **settings)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert (result.exit_code, result.stderr) == (status, ""), result.output
        return result.stdout.splitlines()

    def error(self, *arguments: str, typed: str | bytes = "", **settings: str) -> str:
        """The message of a command that fails: one line on stderr, and exit status 2."""
        result = self.run(*arguments, typed=typed, **settings)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == 2, result.output
        (line,) = result.stderr.splitlines()
        assert line.startswith("rowboat: ")
        return line.removeprefix("rowboat: ")

    def empty(self) -> None:
        """Take all the project's scripts away, as a fork does that begins anew."""
        for path in self.folder.iterdir():
            path.unlink()


@contextmanager
def _signals_kept() -> Iterator[None]:
    """A command may set handlers, for its process ends with it."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
