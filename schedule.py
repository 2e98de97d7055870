"""When a backup is due, and the process that writes it. Part of serve.py: the standard library alone."""

import logging
import math
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from clock import SYSTEM_CLOCK, Clock
from config import Config
from copies import newest_copy

_APP = Path(__file__).with_name("app.py")

# A backup that failed is tried again after so long, or sooner where backups are made more often.
_SECONDS_AFTER_FAILURE = 600


class Backups:
    """Runs the command `backup` whenever the newest copy is older than ROWBOAT_BACKUP_EVERY; one at a time.

    Whoever holds this reaps its `process`, and says so."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self.process: subprocess.Popen[bytes] | None = None
        self._next_look = 0.0

    def start_when_due(self, config: Config, environment: dict[str, str]) -> float:
        """Start a backup if it is time for one. Returns when to ask again, by the clock's monotonic()."""
        if not config.backup_every or self.process:
            return math.inf
        if self._clock.monotonic() >= self._next_look:
            newest = newest_copy(config.database, self._clock.seconds())
            age = math.inf if newest is None else self._clock.seconds() - newest
            if age >= config.backup_every:
                return self._start(config, environment)
            self._next_look = self._clock.monotonic() + config.backup_every - age
        return self._next_look

    def look_anew(self) -> None:
        """Let the next question be answered from the copies that are there: the settings may have changed."""
        self._next_look = 0

    def ended(self, problem: str, config: Config) -> None:
        """Note that the process ended; the log is told of a problem, which is empty where all went well."""
        self.process = None
        seconds = config.backup_every or _SECONDS_AFTER_FAILURE
        if problem:
            seconds = min(seconds, _SECONDS_AFTER_FAILURE)
            again = f"it is tried again in {seconds // 60} minutes"
            logging.getLogger("rowboat").error("the backup failed: %s; %s", problem, again)
        self._next_look = self._clock.monotonic() + seconds

    def _start(self, config: Config, environment: dict[str, str]) -> float:
        command = [sys.executable, str(_APP), "backup", "--gzip", "--keep", str(config.backup_keep)]
        try:
            # In a session of its own: Ctrl-C and a terminal that closes reach the parent alone, which tells it to stop.
            self.process = subprocess.Popen(command, start_new_session=True, env=environment)
        except OSError as error:  # no memory is left for it, for example
            self.ended(str(error), config)
            return self._next_look
        with suppress(OSError):
            # Requests come first, whatever the priority of the server itself.
            priority = os.getpriority(os.PRIO_PROCESS, self.process.pid)
            os.setpriority(os.PRIO_PROCESS, self.process.pid, priority + 10)
        return math.inf
