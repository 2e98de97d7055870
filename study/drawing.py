"""The schema as a drawing: `make schema-drawing` writes docs/schema.dot, and with Graphviz docs/schema.svg."""

import json
import sqlite3
import subprocess
import sys
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
    tables = json.dumps([thing.name for thing in schema.things(connection) if thing.kind == "table"])
    asked = Path(__file__).with_suffix(".sql").read_text(encoding="utf-8")
    lines = connection.execute(asked, {"tables": tables}).fetchall()
    return _BEGIN + "".join(f"\n{line}" for (line,) in lines) + "\n}\n"


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
