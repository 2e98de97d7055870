"""The schema as a drawing: `make schema-drawing` writes docs/schema.dot, and with Graphviz docs/schema.svg."""

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from db import schema

HOME = Path(__file__).resolve().parent.parent
DOT, SVG = HOME / "docs/schema.dot", HOME / "docs/schema.svg"

_BEGIN = """\
// The schema, table by table. Made by `make schema-drawing`; do not edit.
digraph schema {
    graph [rankdir=RL, bgcolor=transparent, nodesep=0.3, ranksep=0.9, fontname="sans-serif", fontsize=11,
           label="Underlined: the primary key. An arrow leads from a foreign key to the table whose key it is."]
    node [shape=plain, fontname="sans-serif", fontsize=11]
    edge [arrowsize=0.7]
"""

# In a page the drawing has the colours of the page; alone, those that its reader prefers.
_STYLE = """
<style>
svg:root { color: #1b1f24; background: #fff }
@media (prefers-color-scheme: dark) { svg:root { color: #e6e6e6; background: #16191d } }
</style>"""


def dot(connection: sqlite3.Connection) -> str:
    """The schema of a migrated database in Graphviz's language, the same text for the same schema."""
    tables = [thing.name for thing in schema.things(connection) if thing.kind == "table"]
    boxes = "".join(_box(connection, table) for table in tables)
    arrows = "".join(arrow for table in tables for arrow in _arrows(connection, table))
    return f"{_BEGIN}\n{boxes}\n{arrows}}}\n"


def _box(connection: sqlite3.Connection, table: str) -> str:
    rows = [f'<TR><TD COLSPAN="2" BORDER="1" SIDES="B"><B>{table}</B></TD></TR>']
    columns = connection.execute(
        'SELECT name, type, "notnull" OR pk, pk FROM pragma_table_xinfo(?) WHERE hidden <> 1 ORDER BY cid', (table,)
    )
    for name, kind, has_value, is_key in columns.fetchall():
        shown = f"<U>{name}</U>" if is_key else name
        kind = " | ".join(filter(None, [kind, "" if has_value or not kind else "NULL"]))
        rows.append(f'<TR><TD ALIGN="LEFT" PORT="{name}">{shown}</TD><TD ALIGN="LEFT">{kind}</TD></TR>')
    rows += [f'<TR><TD COLSPAN="2" ALIGN="LEFT">UNIQUE ({each})</TD></TR>' for each in _unique(connection, table)]
    lines = "\n        ".join(rows)
    box = '<TABLE BORDER="1" CELLBORDER="0" CELLSPACING="0" CELLPADDING="3">'
    return f'    {table} [URL="/study/tables/{table}", tooltip="{table}", label=<{box}\n        {lines}</TABLE>>]\n'


def _unique(connection: sqlite3.Connection, table: str) -> Iterator[str]:
    """The columns of each UNIQUE constraint and unique index."""
    indexes = connection.execute(
        'SELECT name, origin FROM pragma_index_list(?) WHERE "unique" ORDER BY seq DESC', (table,)
    )
    for index in [name for name, origin in indexes.fetchall() if origin != "pk"]:
        names = connection.execute("SELECT name FROM pragma_index_info(?) ORDER BY seqno", (index,)).fetchall()
        yield ", ".join(name or "…" for (name,) in names)  # an expression has no name


def _arrows(connection: sqlite3.Connection, table: str) -> Iterator[str]:
    keys = connection.execute('SELECT "from", "table" FROM pragma_foreign_key_list(?) ORDER BY id DESC, seq', (table,))
    for column, parent in keys.fetchall():
        yield f"    {table}:{column}:w -> {parent}\n"


def svg(text: str) -> str:
    """A drawing in the colours of its surroundings. Raises OSError without Graphviz."""
    drawn = subprocess.run(["dot", "-Tsvg"], input=text, capture_output=True, text=True, check=True).stdout
    _, _, drawn = drawn.replace('"black"', '"currentColor"').partition("<svg ")
    tag, _, rest = drawn.partition(">")
    return f'<svg fill="currentColor" {tag}>{_STYLE}{rest}'


def main() -> None:
    """Write both files; without Graphviz the first one, and exit status 1."""
    with closing(schema.build(HOME / "schema")) as connection:
        text = dot(connection)
    DOT.write_text(text, encoding="utf-8")
    try:
        SVG.write_text(svg(text), encoding="utf-8")
    except FileNotFoundError:
        sys.exit("docs/schema.svg stays as it was: Graphviz's program dot is missing (apt-get install graphviz)")


if __name__ == "__main__":
    main()
