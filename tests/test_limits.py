"""Bounded work: what one request may cost, whoever sends it."""

from contextlib import closing

import pytest
from webtest import TestApp

import app
from config import Config
from db import Database, TookTooLong
from tests.conftest import HOME, Api


@pytest.fixture
def hurried(db):
    """A client of the API on `db` whose reads are interrupted at the first look at the clock."""
    with closing(Database(db.path, HOME / "sql", clock=db.clock, read_limit_s=0)) as database:
        yield Api(TestApp(app.make_app(Config(), database)))


def many_articles(user, count):
    for number in range(count):
        user.writes(f"Rowing {number}", body="row " * 200)


def test_a_search_that_takes_too_long_is_interrupted(api, hurried):
    many_articles(api.someone("ann"), 40)

    response = hurried.get("/articles?q=row&limit=40", status=503)

    assert response.json == {"errors": {"q": ["took too long"]}}
    assert response.headers["Retry-After"] == "10"


def test_any_other_read_that_takes_too_long_is_interrupted(api, hurried):
    many_articles(api.someone("ann"), 40)

    assert hurried.refusal(503, "GET", "/articles?limit=40") == {"database": "took too long"}


def test_after_an_interrupted_read_the_same_connection_reads_on(api, hurried):
    many_articles(api.someone("ann"), 40)
    hurried.get("/articles?limit=40", status=503)

    hurried.someone("bob")

    assert hurried.lists(limit=1)["articlesCount"] == 40


def test_the_error_names_the_file(db, api):
    many_articles(api.someone("ann"), 40)

    with closing(Database(db.path, HOME / "sql", read_limit_s=0)) as database, pytest.raises(TookTooLong) as raised:
        database.row("articles/newest", "articles/list", me=None, before=1000, limit=40, offset=0, most_bytes=1000)

    assert str(raised.value) == "articles/list was interrupted: it reached the time limit of reads"
