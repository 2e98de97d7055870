"""Demo content: the same people, articles and comments each time, written through the same SQL files as any other."""

import json
import random
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from clock import format_time
from db import Database, Refused
from handlers.articles import slug_words
from handlers.fields import fold
from handlers.names import name_key
from handlers.words import search_index
from passwords import digest, hash_password

PASSWORD = "rowboat-demo"

_BEGIN = datetime(2026, 1, 5, 6, 30, tzinfo=UTC)

# Names, bios, and subjects with their tags, beginnings and endings of titles, and paragraphs.
_WORDS: dict[str, Any] = json.loads(Path(__file__).with_name("seed.json").read_text(encoding="utf-8-sig"))

# Calls that are queued before we wait for them; they share commits.
_MOST_AT_ONCE = 200


def sow(database: Database, users: int, articles: int, advance: Callable[[int], None]) -> list[str]:
    """Write so many users and articles, with bios, follows, favorites and comments; returns the users' names.

    `advance(count)` is called as users and articles are done. What is written depends on the two numbers
    and on the newest user's id alone."""
    newest = (database.row("users/newest") or {})["id"] or 0
    chance = random.Random(f"{newest} {users} {articles}")
    ids = _people(database, users, newest, chance, advance)
    everyone = list(ids.values())
    calls: list[Future[Any]] = []
    for number in range(articles):
        calls += _article(database, everyone, number, chance)
        if len(calls) >= _MOST_AT_ONCE or number == articles - 1:
            _finish(calls)
        advance(1)
    return list(ids)


def _finish(calls: list["Future[Any]"]) -> None:
    for call in calls:
        call.result()
    calls.clear()


def _people(
    database: Database, users: int, newest: int, chance: random.Random, advance: Callable[[int], None]
) -> dict[str, int]:
    """Open the accounts; each new user's id by name. A name that somebody has already is passed over."""
    password_hash = hash_password(PASSWORD)  # one for all: hashing takes longer than all the rest
    first_names = _WORDS["first_names"]
    ids: dict[str, int] = {}
    number = newest
    while len(ids) < users:
        name = first_names[number % len(first_names)] + (str(number) if number >= len(first_names) else "")
        number += 1
        joined = format_time(_BEGIN - timedelta(hours=users - len(ids)))
        try:
            _open_account(database, name, password_hash, joined)
        except Refused:
            continue
        ids[name] = database.row("users/find_credentials", email_key=f"{name}@example.org", address=None)["id"]  # type: ignore[index]
        changes = json.dumps({"bio": chance.choice(_WORDS["bios"])})
        database.write("users/update", me=ids[name], changes=changes, now=joined)
        advance(1)
    calls = [
        database.submit("profiles/follow", me=me, username_key=name_key(name), now=format_time(_BEGIN))
        for me in ids.values()
        for name in _some(chance, list(ids), most=12)
    ]
    _finish(calls)
    return ids


def _open_account(database: Database, name: str, password_hash: str, joined: str) -> None:
    email = f"{name}@example.org"
    database.write(
        "users/must_be_free",
        "users/create",
        me=None,
        username=name,
        username_key=name_key(name),
        username_key_hash=digest(name_key(name)),
        email=email,
        email_key=fold(email),
        password_hash=password_hash,
        now=joined,
    )


def _article(database: Database, everyone: list[int], number: int, chance: random.Random) -> Iterable["Future[Any]"]:
    """One article with what readers do to it, queued in order."""
    subject = chance.choice(_WORDS["subjects"])
    paragraphs = subject["paragraphs"]
    title = f"{chance.choice(subject['beginnings'])} {chance.choice(subject['endings'])}"
    slug = f"{slug_words(title)}-{chance.getrandbits(32):08x}"
    published = _BEGIN + timedelta(hours=3 * number, minutes=chance.randrange(120))
    body = "\n\n".join([f"## {title}", *chance.sample(paragraphs, k=chance.randint(2, len(paragraphs)))])
    description = f"{paragraphs[0].split('.')[0].replace('*', '')}."
    yield database.submit(
        "articles/create",
        "articles/index",
        "articles/set_tags",
        me=_popular(chance, everyone),
        slug=slug,
        title=title,
        description=description,
        body=body,
        **search_index(title, description, body),
        tags=json.dumps(chance.sample(subject["tags"], k=chance.randint(1, len(subject["tags"])))),
        now=format_time(published),
    )
    for me in _some(chance, everyone, most=len(everyone)):
        later = format_time(published + timedelta(minutes=chance.randrange(20_000)))
        yield database.submit("articles/favorite", slug=slug, me=me, now=later)
    for minutes in sorted(chance.randrange(20_000) for _ in range(int(chance.random() ** 3 * 12))):
        yield database.submit(
            "comments/create",
            slug=slug,
            me=chance.choice(everyone),
            body=chance.choice(_WORDS["remarks"]),
            now=format_time(published + timedelta(minutes=minutes)),
        )


def _popular(chance: random.Random, everyone: list[int]) -> int:
    """One of them; the first ones far more often than the last."""
    return everyone[int(len(everyone) * chance.random() ** 3)]


def _some(chance: random.Random, everyone: list[Any], most: int) -> list[Any]:
    """A few of them, mostly few, seldom many: at most `most`, and at most 200."""
    return chance.sample(everyone, k=int(min(most, len(everyone), 200) * chance.random() ** 4))
