"""The benchmark still runs. No timings are asserted."""

import json
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from bench.generate import generate, verify
from tests.conftest import HOME


def test_a_generated_database_is_reproducible_and_has_correct_counters(tmp_path: Path):
    for name in ("one.db", "two.db"):
        generate(300, tmp_path / name)

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


@pytest.mark.skipif(
    not shutil.which("wrk") or not (HOME / ".venv-bench/runs").exists(),
    reason="needs the Debian package wrk, and .venv-bench, which `make bench` builds",
)
def test_the_benchmark_measures_every_contestant():
    results = HOME / "bench" / "results" / "results.json"
    results.unlink(missing_ok=True)

    subprocess.run(["make", "bench", "BENCH_ARGS=--smoke"], cwd=HOME, check=True, timeout=1200)

    told = json.loads(results.read_text())
    compared = {(each["who"], each["route"]) for each in told["measured"] if each["part"] == "compare"}
    for who in ("rowboat", "flask", "fastapi", "django"):
        assert {route for name, route in compared if name == who} >= {"articles", "feed", "tags", "comment"}
    assert told["missing"] == []
