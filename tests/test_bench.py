"""The generator of the benchmark's database. tests/system/test_bench.py runs the benchmark."""

import sqlite3
from contextlib import closing

from bench.generate import generate, verify
from tests.conftest import HOME


def test_a_generated_database_is_reproducible_and_has_correct_counters(tmp_path, clock):
    for name in ("one.db", "two.db"):
        generate(300, tmp_path / name, clock)

    with closing(sqlite3.connect(tmp_path / "one.db")) as one, closing(sqlite3.connect(tmp_path / "two.db")) as two:
        verify(one)
        assert one.execute("SELECT count(*) FROM articles").fetchone() == (300,)
        for table in ("users", "articles", "article_tags", "tags", "favorites", "comments", "follows", "sessions"):
            rows = f"SELECT * FROM {table} ORDER BY 1, 2"
            assert one.execute(rows).fetchall() == two.execute(rows).fetchall()
        schema = "SELECT name FROM sqlite_schema WHERE type IN ('trigger', 'index') ORDER BY name"
        with closing(sqlite3.connect(":memory:")) as fresh:
            fresh.executescript((HOME / "schema" / "schema.sql").read_text())
            assert one.execute(schema).fetchall() == fresh.execute(schema).fetchall()
