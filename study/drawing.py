"""The schema as a drawing: `make schema-drawing` writes docs/schema.dot, and with Graphviz docs/schema.svg."""

import sqlite3
from contextlib import closing
from pathlib import Path

from db import schema

HOME = Path(__file__).resolve().parent.parent
DOT, SVG = HOME / "docs/schema.dot", HOME / "docs/schema.svg"


def dot(connection: sqlite3.Connection) -> str:
    """The schema of a migrated database in Graphviz's language, the same text for the same schema."""
    asked = Path(__file__).with_name("drawing.sql").read_text(encoding="utf-8-sig")
    return str(connection.execute(asked).fetchone()[0])


if __name__ == "__main__":
    with closing(schema.build(HOME / "schema")) as built:
        DOT.write_text(dot(built), encoding="utf-8")
