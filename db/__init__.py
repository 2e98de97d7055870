"""SQLite, and nothing but SQLite: connections, statements, transactions, migrations. Knows no HTTP."""

from db.database import Database, Observer, Row
from db.errors import Refused, StartupError, Unavailable

__all__ = ["Database", "Observer", "Refused", "Row", "StartupError", "Unavailable"]
