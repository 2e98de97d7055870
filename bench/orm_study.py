# mypy: ignore-errors
# ruff: noqa: E402 (the contestants ask for their database while they are imported)
"""What an ORM would do: `python -m bench.orm_study` writes study/orm.json, which the pages of /study show.

A listing, the feed and a favorite, asked of SQLAlchemy with the models and queries of its contestants, beside the SQL
files that answer them here: the SQL that the ORM emits, and what each statement and the whole takes. Both work on
copies of one generated database, in turns, and must give the same answer."""

import argparse
import inspect
import json
import os
import platform
import sqlite3
import statistics
import time
from contextlib import closing
from dataclasses import replace
from importlib.metadata import version

from sqlalchemy import event

from bench import machine
from bench.plan import DATA, HOME, dataset

FOLDER = DATA / "orm-study"
os.environ["BENCH_DATABASE"] = str(FOLDER / "theirs.db")


from bench.contestants import sqlalchemy_queries as queries
from bench.contestants.flask_sqlalchemy import _article as as_dict
from bench.contestants.sqlalchemy_queries import (
    add_favorite,
    all_articles,
    article_at,
    article_id_at,
    feed_of,
    followed_by,
    liked_by,
    page,
)
from db import Database
from handlers.fields import EVERYTHING, MOST_BYTES

# One of those who have a session.
ME = 10
NEWEST = {"before": EVERYTHING, "limit": 20, "offset": 0, "most_bytes": MOST_BYTES}


def listing(session, user, slug):
    """The newest 20 of all articles."""
    return answer(session, user, all_articles(tag=None, author=None, favorited=None))


def feed(session, user, slug):
    """The newest 20 articles by those whom the caller follows."""
    return answer(session, user, feed_of(user))


def answer(session, user, found):
    """A page of articles as the caller sees them."""
    articles, total = page(session, found, limit=20, offset=0)
    liked = liked_by(session, user, articles)
    followed = followed_by(session, user, [article.author for article in articles])
    return {"articles": [as_dict(article, liked, followed) for article in articles], "articlesCount": total}


def favorite(session, user, slug):
    """Mark an article as a favorite of the caller, and show it."""
    add_favorite(session, article_id_at(session, slug), user)
    article = article_at(session, slug)
    followed = followed_by(session, user, [article.author])
    return {"article": as_dict(article, {article.id}, followed) | {"body": article.body}}


# By the file of ours on whose page it is shown: the question, the ORM's code, and our files that answer it.
PAGE = (answer, page, queries._with_relations, liked_by, followed_by)
STUDIES = {
    "articles/list": ("The newest 20 articles.", (listing, all_articles, *PAGE), ["articles/newest", "articles/list"]),
    "articles/feed": (
        "The newest 20 articles by those whom the caller follows.",
        (feed, feed_of, *PAGE),
        ["articles/feed", "articles/list"],
    ),
    "articles/favorite": (
        "Mark an article as a favorite of the caller, and show it.",
        (favorite, article_id_at, add_favorite, article_at, queries._with_relations, followed_by),
        ["articles/favorite", "articles/render"],
    ),
}


class Study:
    """One question, asked of both."""

    def __init__(self, name, database):
        self.name = name
        self.question, self.functions, self.files = STUDIES[name]
        self.database = database
        self.orm_ms, self.our_ms = [], []
        self.statements = []

    def orm(self, slug):
        """The ORM's answer as JSON, timed from a session that knows who asks to the text."""
        with queries.SessionLocal() as session:
            user = session.get(queries.User, ME)
            began = time.perf_counter()
            text = json.dumps(self.functions[0](session, user, slug), ensure_ascii=False)
            self.orm_ms.append(1000 * (time.perf_counter() - began))
        return text

    def ours(self, slug):
        """Our answer, timed likewise."""
        began = time.perf_counter()
        if self.name == "articles/favorite":
            text = self.database.write(*self.files, slug=slug, me=ME, now=self.database.clock.now())
        else:
            text = self.database.read(*self.files, me=ME, **NEWEST)
        self.our_ms.append(1000 * (time.perf_counter() - began))
        return text

    def capture(self, slug):
        """Note the statements that the ORM emits, and compare the answers."""

        def note(connection, cursor, statement, parameters, *_):
            self.statements.append((statement, parameters, []))

        # The user is looked up before the question is asked.
        event.listen(queries.engine, "before_cursor_execute", note)
        theirs = json.loads(self.orm(slug))
        event.remove(queries.engine, "before_cursor_execute", note)
        del self.statements[0]
        if theirs != json.loads(self.ours(slug)):
            raise RuntimeError(f"{self.name}: the answers differ")

    def time_statements(self, connection):
        """Time each statement of the ORM alone, without the ORM. Nothing is stored."""
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("DELETE FROM favorites WHERE user_id = ?", (ME,))  # none is there already
        for statement, parameters, taken in self.statements:
            began = time.perf_counter()
            connection.execute(statement, parameters).fetchall()
            taken.append(1000 * (time.perf_counter() - began))
        connection.execute("ROLLBACK")

    def told(self):
        """What is kept of it."""
        return {
            "question": self.question,
            "python": "\n\n".join(inspect.getsource(function) for function in dict.fromkeys(self.functions)),
            "statements": [{"sql": sql, "ms": _median(taken)} for sql, _, taken in self.statements],
            "ms": _median(self.orm_ms),
            "ours": {
                "files": self.files,
                "statements": sum(len(self.database.files[name].statements) for name in self.files),
                "ms": _median(self.our_ms),
            },
        }


def _median(taken):
    return round(statistics.median(taken), 3)


def study(articles, rounds):
    """What study/orm.json holds, of so many articles and so many rounds."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    data = replace(dataset(articles), folder=FOLDER)
    data.copy("theirs")
    with (
        closing(Database(data.copy("ours"), HOME / "sql")) as database,
        closing(queries.engine.raw_connection()) as pooled,
    ):
        connection = pooled.driver_connection
        connection.isolation_level = None
        some = """SELECT slug FROM articles WHERE id NOT IN (SELECT article_id FROM favorites WHERE user_id = ?)
                   ORDER BY id DESC LIMIT ?"""
        slugs = [slug for (slug,) in connection.execute(some, (ME, rounds + 1)).fetchall()]
        studies = [Study(name, database) for name in STUDIES]
        for each in studies:
            each.capture(slugs[0])
        for slug in slugs[1:]:
            for each in studies:
                each.time_statements(connection)
                each.orm(slug)
                each.ours(slug)
    return {
        "measured": f"{articles:,} articles; medians of {rounds} rounds, in turns and on one core, from the call to "
        "the answer as JSON, without HTTP and finding out who calls; each statement by itself, without the ORM. "
        f"SQLAlchemy {version('SQLAlchemy')}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}.",
        "command": f"python -m bench.orm_study --articles {articles} --rounds {rounds}",
        "files": {each.name: each.told() for each in studies},
    }


def main():
    """Measure, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--articles", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=500)
    asked = parser.parse_args()
    machine.pin(machine.SERVER_CORE)
    told = study(asked.articles, asked.rounds)
    (HOME / "study/orm.json").write_text(json.dumps(told, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    for name, each in told["files"].items():
        ours = each["ours"]
        print(f"{name}: {len(each['statements'])} statements, {each['ms']} ms", end="; ")
        print(f"ours: {ours['statements']} statements, {ours['ms']} ms")


if __name__ == "__main__":
    main()
