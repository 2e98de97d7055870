"""What the pages of /study tell of an ORM: bench/orm_study.py has measured it, and it fits the code of now."""

import json
import re
import sqlite3
from contextlib import closing

import pytest

from tests.conftest import HOME

TOLD = json.loads((HOME / "study/orm.json").read_text())
ADVICE = "run `.venv-bench/bin/python -m bench.orm_study` on a quiet machine, and commit study/orm.json"


def test_the_listing_the_feed_and_a_favorite_were_asked():
    assert TOLD.keys() == {"measured", "command", "files"}
    assert TOLD["files"].keys() == {"articles/list", "articles/feed", "articles/favorite"}
    assert re.fullmatch(r"python -m bench\.orm_study --articles \d+ --rounds \d+", TOLD["command"])


@pytest.mark.parametrize("name", TOLD["files"])
def test_our_side_names_files_of_ours_with_as_many_statements_as_they_have(name, db):
    ours = TOLD["files"][name]["ours"]

    assert name in ours["files"]
    assert ours["statements"] == sum(len(db.files[file].statements) for file in ours["files"]), ADVICE
    assert ours["ms"] > 0


@pytest.mark.parametrize("name", TOLD["files"])
def test_what_the_orm_emitted_is_sql_that_the_schema_of_now_understands(name, migrated):
    told = TOLD["files"][name]

    assert len(told["statements"]) > 1
    assert told["ms"] > 0
    with closing(sqlite3.connect(migrated)) as connection:
        for statement in told["statements"]:
            assert statement["ms"] > 0
            connection.execute(f"EXPLAIN {statement['sql']}", [None] * statement["sql"].count("?"))


@pytest.mark.parametrize("name", TOLD["files"])
def test_the_code_that_is_shown_is_the_code_that_was_run(name):
    code = (HOME / "bench/orm_study.py").read_text() + (HOME / "bench/contestants/sqlalchemy_queries.py").read_text()
    told = TOLD["files"][name]

    functions = told["python"].rstrip().split("\n\n\n")

    assert told["question"]
    assert len(functions) > 3
    for function in functions:
        assert function in code, ADVICE
