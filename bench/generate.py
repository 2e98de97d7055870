"""Makes a database of any size for the benchmark, the same each time: `python -m bench.generate ARTICLES FILE`.

The schema is made by the migrations; the rows are inserted directly. Indexes and those triggers whose effect is
computed here are dropped for the load and put back after it, and every counter is compared with a recount."""

import argparse
import random
import resource
import sqlite3
import sys
import time
from array import array
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from argon2.low_level import Type, hash_secret

from bench.texts import TOPICS, Texts, slug_suffix
from clock import SYSTEM_CLOCK, Clock
from db.migrations import migrate
from handlers.words import words

HOME = Path(__file__).resolve().parent.parent
PASSWORD = "rowboat-bench"

# These users have a session, whose token is `token_of(id)`.
SESSIONS = 50

_BEGIN = datetime(2016, 1, 1)

# Sessions that neither expire nor are due for a note of their use, whenever the benchmark runs.
_NEVER_OVER = "2099-01-01T00:00:00.000Z"

# What these triggers keep is computed here; any other trigger stays on.
_COMPUTED = {
    "articles_after_insert_slug",
    "articles_after_insert_count",
    "article_tags_after_insert_count",
    "favorites_after_insert_count",
}

# Each counts the rows whose kept number is not what a count finds.
_RECOUNTS = {
    "articles.favorites_count": """SELECT count(*) FROM articles WHERE favorites_count <>
        (SELECT count(*) FROM favorites WHERE article_id = articles.id)""",
    "users.favorites_count": """SELECT count(*) FROM users WHERE favorites_count <>
        (SELECT count(*) FROM favorites WHERE user_id = users.id)""",
    "users.articles_count": """SELECT count(*) FROM users WHERE articles_count <>
        (SELECT count(*) FROM articles WHERE author_id = users.id)""",
    "tags.articles_count": """SELECT count(*) FROM tags WHERE articles_count <>
        (SELECT count(*) FROM article_tags WHERE tag_id = tags.id)""",
    "totals.articles": """SELECT count(*) FROM totals WHERE name = 'articles' AND total <>
        (SELECT count(*) FROM articles)""",
    "slugs": """SELECT count(*) FROM articles WHERE NOT EXISTS
        (SELECT 1 FROM slugs WHERE slug = articles.slug AND article_id = articles.id)""",
}


def token_of(user_id: int) -> str:
    """The token of one of the first SESSIONS users."""
    return f"bench-token-{user_id:04d}"


def generate(articles: int, path: Path, clock: Clock = SYSTEM_CLOCK) -> None:
    """Make `path`, a database of so many articles. Raises RuntimeError where a counter is not what a recount finds."""
    building = path.with_name(path.name + ".building")
    building.unlink(missing_ok=True)
    migrate(building, HOME / "schema", backup=False, clock=clock)
    with closing(sqlite3.connect(building, isolation_level=None)) as connection:
        for pragma in ("journal_mode = DELETE", "journal_mode = OFF", "synchronous = OFF", "cache_size = -150000"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("BEGIN")
        aside = _put_aside(connection)
        _Rows(connection, articles).insert()
        for sql in aside:
            connection.execute(sql)
        connection.execute("COMMIT")
        verify(connection)
        for pragma in ("synchronous = FULL", "journal_mode = WAL"):
            connection.execute(f"PRAGMA {pragma}")
    building.with_name(building.name + ".lock").unlink(missing_ok=True)
    building.rename(path)


def verify(connection: sqlite3.Connection) -> None:
    """Raise RuntimeError unless each counter is what a recount finds, and each row has the rows that it refers to."""
    for what, recount in _RECOUNTS.items():
        (wrong,) = connection.execute(recount).fetchone()
        if wrong:
            raise RuntimeError(f"{what}: wrong in {wrong} rows")
    if broken := connection.execute("PRAGMA foreign_key_check").fetchone():
        raise RuntimeError(f"{broken[0]}: a row refers to none in {broken[2]}")


def _put_aside(connection: sqlite3.Connection) -> list[str]:
    """Drop what slows a load; returns the statements that put it back, rebuilt."""
    schema = connection.execute("SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL").fetchall()
    aside = []
    for kind, name, sql in schema:
        if kind == "index" or (kind == "trigger" and name in _COMPUTED):
            connection.execute(f"DROP {kind} {name}")
            aside.append(sql)
    return aside


class _Rows:
    """The rows of every table, inserted in an order in which each counter is known when its row comes."""

    def __init__(self, connection: sqlite3.Connection, articles: int) -> None:
        self._connection = connection
        self._articles = articles
        self._users = max(100, articles // 10)
        self._chance = random.Random(f"rowboat {articles}")
        self._texts = Texts()
        self._favorites_of_article = array("I", bytes(4 * (articles + 1)))
        self._favorites_of_user = array("I", bytes(4 * (self._users + 1)))
        self._articles_of_user = array("I", bytes(4 * (self._users + 1)))
        self._articles_of_tag = array("I", bytes(4 * (TOPICS + 1)))

    def insert(self) -> None:
        self._fill("favorites (user_id, article_id, created_at)", self._all_favorites())
        self._fill("article_tags (article_id, position, tag_id)", self._all_article_tags())
        self._fill("tags (id, name, articles_count)", self._all_tags())
        columns = "id, author_id, slug, title, description, favorites_count, created_at, updated_at, body"
        self._fill(f"articles ({columns})", self._all_articles())
        self._connection.create_function("words", 1, words, deterministic=True)
        self._connection.execute(
            "INSERT INTO article_search (rowid, title, description, body) "
            "SELECT id, words(title), words(description), words(body) FROM articles"
        )
        self._connection.execute("INSERT INTO slugs (slug, article_id) SELECT slug, id FROM articles ORDER BY slug")
        self._connection.execute("UPDATE totals SET total = ? WHERE name = 'articles'", (self._articles,))
        self._fill("comments (article_id, author_id, body, created_at)", self._all_comments())
        self._fill("follows (follower_id, followed_id, created_at)", self._all_follows())
        columns = "id, username, username_key, email, email_key, password_hash, bio, image"
        self._fill(f"users ({columns}, articles_count, favorites_count, created_at, updated_at)", self._all_users())
        self._fill("sessions (user_id, token_hash, created_at, last_used_at)", self._all_sessions())

    def _fill(self, table_and_columns: str, rows: Iterable[tuple[Any, ...]]) -> None:
        values = ", ".join("?" * (table_and_columns.count(",") + 1))
        self._connection.executemany(f"INSERT INTO {table_and_columns} VALUES ({values})", rows)

    def _skewed(self, most: int) -> int:
        """A number from 1 to `most`: the first ones far more often than the last."""
        return int(most * self._chance.random() ** 3) + 1

    def _all_favorites(self) -> Iterator[tuple[Any, ...]]:
        of_article, of_user = self._favorites_of_article, self._favorites_of_user
        chance = self._chance.random
        for user in range(1, self._users + 1):
            count = min(int(150 * chance() ** 2), self._articles // 4)
            for article in sorted({int(self._articles * chance() ** 1.5) + 1 for _ in range(count)}):
                of_article[article] += 1
                of_user[user] += 1
                yield user, article, _moment(article, 90)

    def _all_article_tags(self) -> Iterator[tuple[int, int, int]]:
        for article in range(1, self._articles + 1):
            # Each tag is used: so there are as many at every size.
            tags = [article] if article <= TOPICS else []
            tags += [self._skewed(TOPICS) for _ in range(1 + int(5 * self._chance.random()))]
            for position, tag in enumerate(dict.fromkeys(tags)):
                self._articles_of_tag[tag] += 1
                yield article, position, tag

    def _all_tags(self) -> Iterator[tuple[Any, ...]]:
        for tag, name in enumerate(self._texts.tags, 1):
            yield tag, name, self._articles_of_tag[tag]

    def _all_articles(self) -> Iterator[tuple[Any, ...]]:
        texts, chance = self._texts, self._chance
        for article in range(1, self._articles + 1):
            topic = texts.topic(int(TOPICS * chance.random()), article)
            word = texts.vocabulary[int(3000 * chance.random())]
            author = self._skewed(self._users)
            self._articles_of_user[author] += 1
            updated = _moment(article, int(5000 * chance.random())) if article % 10 == 0 else _moment(article)
            yield (
                article,
                author,
                f"{topic[0]}-{topic[1]}-and-{word}-{slug_suffix(article)}",
                f"{topic[0].capitalize()} {topic[1]} and {word}",
                texts.paragraphs[article % 2000][:90],
                self._favorites_of_article[article],
                _moment(article),
                updated,
                texts.body(chance, topic),
            )

    def _all_comments(self) -> Iterator[tuple[Any, ...]]:
        """Three for each article on average, in the order of time: those of one article do not stand together."""
        for number in range(3 * self._articles):
            article = max(1, number // 3 + 1 - int(200 * self._chance.random() ** 3))
            if self._chance.random() < 0.3:
                article -= article % 10  # every tenth article has most of the readers
            author = int(self._users * self._chance.random()) + 1
            yield max(article, 1), author, self._texts.remark(self._chance), _moment(number // 3 + 1, number % 3)

    def _all_follows(self) -> Iterator[tuple[Any, ...]]:
        for follower in range(1, self._users + 1):
            count = 5 + int(30 * self._chance.random() ** 2)
            for followed in sorted({self._skewed(self._users) for _ in range(count)}):
                yield follower, followed, _moment(1)

    def _all_users(self) -> Iterator[tuple[Any, ...]]:
        password_hash = _password_hash()
        for user in range(1, self._users + 1):
            name = f"{self._texts.vocabulary[user % 3000]}{user}"
            email = email_of(name)
            bio = self._texts.paragraphs[user % 2000] if user % 5 else None
            image = f"https://example.org/faces/{user}.jpg" if user % 2 else None
            counters = self._articles_of_user[user], self._favorites_of_user[user]
            yield user, name, name, email, email, password_hash, bio, image, *counters, _moment(1), _moment(1)

    def _all_sessions(self) -> Iterator[tuple[Any, ...]]:
        for user in range(1, SESSIONS + 1):
            yield user, sha256(token_of(user).encode()).hexdigest(), _NEVER_OVER, _NEVER_OVER


def email_of(username: str) -> str:
    """The address of a generated user; the password is PASSWORD."""
    return f"{username}@example.org"


def _moment(article: int, minutes_later: int = 0) -> str:
    moment = _BEGIN + timedelta(minutes=5 * article + minutes_later)
    return moment.isoformat(timespec="milliseconds") + "Z"


def _password_hash() -> str:
    """PASSWORD with the parameters of passwords.py and a salt that is always the same; one for all users."""
    return hash_secret(PASSWORD.encode(), b"salt" * 4, 2, 19 * 1024, 1, 32, Type.ID).decode()


def main() -> None:
    """Generate one database, and print how long it took and how much memory."""
    parser = argparse.ArgumentParser(description="Make a database for the benchmark.")
    parser.add_argument("articles", type=int)
    parser.add_argument("file", type=Path)
    arguments = parser.parse_args()
    began = time.monotonic()
    generate(arguments.articles, arguments.file)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024**2 if sys.platform == "darwin" else 1024)
    size = arguments.file.stat().st_size / 1024**2
    seconds = f"{time.monotonic() - began:.1f} s ({time.process_time():.1f} s of processor time)"
    print(f"{arguments.articles} articles in {seconds}, {peak:.0f} MB of memory, {size:.0f} MB")


if __name__ == "__main__":
    main()
