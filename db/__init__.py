"""SQLite, and nothing but SQLite: connections, statements, transactions, migrations. Knows no HTTP."""

from db.database import Database, Row
from db.errors import Refused, StartupError, TookTooLong, Unavailable

__all__ = ["Database", "Refused", "Row", "StartupError", "TookTooLong", "Unavailable"]
