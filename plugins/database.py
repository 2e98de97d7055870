"""The database, handed to every handler as its first argument."""

from collections.abc import Callable
from functools import partial
from typing import Any

from bottle import Route

from db import Database


class DatabasePlugin:
    """Calls each handler with the one database of the process."""

    name = "database"
    api = 2

    def __init__(self, database: Database) -> None:
        self._database = database

    def apply(self, callback: Callable[..., Any], route: Route) -> Callable[..., Any]:
        """Surround every route; innermost."""
        return partial(callback, self._database)
