"""The drawing of the schema shows the schema as it is."""

import html
import re
import sqlite3
from contextlib import closing
from pathlib import Path

from study import drawing

ADVICE = "run `make schema-drawing`, which needs Graphviz, and commit docs/schema.dot and docs/schema.svg"


def drawn(database: Path, change: str = "") -> str:
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(change)
        return drawing.dot(connection)


def test_the_drawing_is_of_the_schema_as_it_is(migrated):
    assert drawing.DOT.read_text() == drawn(migrated), ADVICE


def test_the_picture_shows_every_table_column_and_foreign_key(migrated):
    text = drawn(migrated)
    words = set(re.findall(r">([^<>\n]+)</(?:B|U|TD)>", text))
    arrows = re.findall(r"(\w+):\w+:w -> (\w+)", text)

    picture = html.unescape(drawing.SVG.read_text())

    assert {"users", "username_key", "TEXT | NULL", "UNIQUE (username_key)"} <= words
    assert words <= set(re.findall(r">([^<>]+)</text>", picture)), ADVICE
    assert sorted(arrows) == sorted(re.findall(r"<title>(\w+):w->(\w+)</title>", picture)), ADVICE


def test_keys_are_underlined_and_lead_to_their_table(db):
    text = drawn(
        db.path,
        """
        CREATE TABLE boats (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, length REAL);
        CREATE TABLE trips (boat_id INTEGER NOT NULL REFERENCES boats (id), day TEXT, PRIMARY KEY (boat_id, day));
        """,
    )

    boats = re.findall(r"<TR>(.*)</TR>", text.partition('"/study/tables/boats"')[2])[:5]
    assert [re.sub(r"<(?!/?U>).*?>", " ", row).split() for row in boats] == [
        ["boats"],
        ["<U>id</U>", "INTEGER"],
        ["name", "TEXT"],
        ["length", "REAL", "|", "NULL"],
        ["UNIQUE", "(name)"],
    ]
    assert "<U>boat_id</U>" in text
    assert "    trips:boat_id:w -> boats\n" in text


def test_the_picture_has_only_colours_that_the_page_in_which_it_stands_knows():
    picture = drawing.SVG.read_text()

    assert set(re.findall(r'(?:fill|stroke)="(.*?)"', picture)) == {"none", "transparent", "black", "white"}
