"""study/orm.json, which bench/orm_study.py measures and the pages of /study show, fits the present code."""

import json
import re
import sqlite3
from contextlib import closing

import pytest

from tests.conftest import HOME

MEASURED = json.loads((HOME / "study/orm.json").read_text())
ADVICE = "run `.venv-bench/bin/python -m bench.orm_study` on a quiet machine, and commit study/orm.json"


def test_the_listing_the_feed_and_a_favorite_were_measured():
    assert MEASURED.keys() == {"measured", "command", "files"}
    assert MEASURED["files"].keys() == {"articles/list", "articles/feed", "articles/favorite"}
    assert re.fullmatch(r"python -m bench\.orm_study --articles \d+ --rounds \d+", MEASURED["command"])


@pytest.mark.parametrize("name", MEASURED["files"])
def test_the_measured_code_and_sql_are_the_present_ones(name, db, migrated):
    code = (HOME / "bench/orm_study.py").read_text() + (HOME / "bench/contestants/sqlalchemy_queries.py").read_text()
    theirs = MEASURED["files"][name]
    ours = theirs["ours"]
    functions = theirs["python"].rstrip().split("\n\n\n")

    assert name in ours["files"]
    assert ours["statements"] == sum(len(db.files[file].statements) for file in ours["files"]), ADVICE
    assert theirs["question"]
    assert len(functions) > 3
    assert all(function in code for function in functions), ADVICE
    assert len(theirs["statements"]) > 1
    assert min(ours["ms"], theirs["ms"], *(statement["ms"] for statement in theirs["statements"])) > 0
    with closing(sqlite3.connect(migrated)) as connection:
        for statement in theirs["statements"]:
            connection.execute(f"EXPLAIN {statement['sql']}", [None] * statement["sql"].count("?"))
