"""The database, handed to every handler as its first argument."""

from collections.abc import Callable
from functools import partial
from typing import Any

from bottle import Route

from config import Config
from db import Database


class DatabasePlugin:
    """Calls each handler with the one database of the process, and those with config=True with its settings too."""

    name = "database"
    api = 2

    def __init__(self, database: Database, config: Config) -> None:
        self._database = database
        self._config = config

    def apply(self, callback: Callable[..., Any], route: Route) -> Callable[..., Any]:
        """Surround every route; innermost."""
        if route.config.get("config"):
            return partial(callback, self._database, config=self._config)
        return partial(callback, self._database)
