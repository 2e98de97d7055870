"""A model of the API in a few lines of Python, compared with the real one.

hypothesis makes up stories of three users who call the API; each response must equal that of the model, except for
random tokens and slug suffixes. When they differ, it shows the shortest story that does so."""

import itertools
import json
import re
import shutil
import tempfile
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from webtest import TestApp

import app
import db.database as db_module
from config import Config
from db import Database
from handlers.articles import slug_words
from tests.clock import ManualClock
from tests.conftest import HOME, PASSWORD
from tests.described import require_described
from tests.soak import examples

NAMES = ["Ann", "bob", "Çelik"]
TITLES = ["Rowing at dawn", "feed", "Ünïcode — 漕ぐ", "!"]
TAGS = ["boats", "dawn", "Boats", "漕"]
TEXTS = ["The text", "<b>'\"; --", "🚣 " * 40]

Response = tuple[int, Any]  # the status and the JSON


@dataclass
class User:
    name: str
    email: str
    password: str = PASSWORD
    bio: str | None = None
    image: str | None = None
    follows: set[str] = field(default_factory=set)  # usernames
    tokens: list[str] = field(default_factory=list)  # of open sessions, oldest first


@dataclass
class Comment:
    id: int
    author: str
    body: str
    created: str


@dataclass
class Article:
    slugs: list[str]  # the present one is the last
    author: str
    title: str
    description: str
    body: str
    tags: list[str]
    created: str
    updated: str
    favorited_by: set[str] = field(default_factory=set)
    comments: list[Comment] = field(default_factory=list)


class Model:
    """What exists, and how it looks to a caller; `me` is a username, or None for an anonymous caller."""

    def __init__(self) -> None:
        self.users: dict[str, User] = {}
        self.articles: list[Article] = []  # oldest first
        self.tags: list[str] = []  # in the order of their first use

    def profile(self, name: str, me: str | None) -> dict[str, Any]:
        user = self.users[name]
        following = me is not None and name in self.users[me].follows
        return {"username": name, "bio": user.bio, "image": user.image, "following": following}

    def account(self, name: str, token: str) -> dict[str, Any]:
        user = self.users[name]
        return {"user": {"email": user.email, "token": token, "username": name, "bio": user.bio, "image": user.image}}

    def article(self, article: Article, me: str | None) -> dict[str, Any]:
        return {
            "slug": article.slugs[-1],
            "title": article.title,
            "description": article.description,
            "body": article.body,
            "tagList": article.tags,
            "createdAt": article.created,
            "updatedAt": article.updated,
            "favorited": me in article.favorited_by,
            "favoritesCount": len(article.favorited_by),
            "author": self.profile(article.author, me),
        }

    def listing(self, articles: list[Article], me: str | None, limit: int, offset: int) -> dict[str, Any]:
        page = [self.article(each, me) for each in articles[::-1][offset : offset + limit]]
        for each in page:
            del each["body"]
        return {"articles": page, "articlesCount": len(articles)}

    def comment(self, comment: Comment, me: str | None) -> dict[str, Any]:
        times = {"createdAt": comment.created, "updatedAt": comment.created}
        return {"id": comment.id, "body": comment.body, "author": self.profile(comment.author, me)} | times

    def tags_in_use(self) -> list[str]:
        """The most used first; of equally used ones the newest."""
        counts = {tag: sum(tag in article.tags for article in self.articles) for tag in self.tags}
        return sorted([tag for tag in reversed(self.tags) if counts[tag]], key=lambda tag: -counts[tag])

    def use_tags(self, tags: list[str]) -> None:
        self.tags += [tag for tag in tags if tag not in self.tags]


actors = st.sampled_from(NAMES)
numbers = st.integers(0, 9)  # of an article, a slug, a comment or a session, modulo how many exist
texts = st.sampled_from(TEXTS)
tag_lists = st.lists(st.sampled_from(TAGS), max_size=3, unique=True)
limits, offsets = st.integers(1, 4), st.integers(0, 3)


def refused(status: int, key: str, message: str) -> Response:
    return status, {"errors": {key: [message]}}


class Stories(RuleBasedStateMachine):
    """Each rule is a request. An actor without a session is an anonymous caller."""

    migrated: Path

    def __init__(self) -> None:
        super().__init__()
        self.open = ExitStack()
        folder = Path(self.open.enter_context(tempfile.TemporaryDirectory()))
        shutil.copy(self.migrated, folder / "rowboat.db")
        self.clock = ManualClock()
        database = self.open.enter_context(closing(Database(folder / "rowboat.db", HOME / "sql", clock=self.clock)))
        self.client = TestApp(app.make_app(Config(), database))
        self.prefixes = itertools.cycle(app.PREFIXES)
        self.model = Model()
        self.ended: list[str] = []  # tokens
        self.gone: list[str] = ["nothing"]  # slugs
        self.ids: set[int] = set()  # of comments
        self.wrong = dict.fromkeys(NAMES, 0)  # passwords since the last right one

    def teardown(self) -> None:
        self.open.close()

    # Requests

    def token(self, me: str) -> str | None:
        user = self.model.users.get(me)
        return user.tokens[-1] if user and user.tokens else None

    def who(self, me: str) -> str | None:
        return me if self.token(me) else None

    def sends(self, token: str | None, method: str, path: str, body: Any = None) -> Response:
        self.clock.advance(seconds=1)
        headers = {"Authorization": f"Token {token}"} if token else {}
        headers |= {"Content-Type": "application/json"} if body else {}
        raw = json.dumps(body).encode() if body else b""
        address = next(self.prefixes) + path
        response = self.client.request(address, method=method, body=raw, headers=headers, status="*")
        require_described(method, path, response)
        return response.status_int, response.json if response.body else None

    def asks(self, me: str, method: str, path: str, body: Any = None) -> Response:
        return self.sends(self.token(me), method, path, body)

    def is_refused(self, response: Response, me: str, thing: str = "", there: Any = True, owner: bool = False) -> bool:
        """Whether it must be refused: anonymous, not found, or, where only the owner may, not the owner's."""
        if not self.who(me):
            assert response == refused(401, "token", "is missing")
        elif not there:
            assert response == refused(404, thing, "not found")
        elif owner and there.author != me:
            assert response == refused(403, thing, "forbidden")
        else:
            return False
        return True

    def article(self, number: int) -> tuple[Article | None, str]:
        """One of the articles, and any of its slugs; or none, and a slug that no longer exists."""
        if number == 9 or not self.model.articles:
            return None, self.gone[-1]
        article = self.model.articles[number % len(self.model.articles)]
        return article, article.slugs[number % len(article.slugs)]

    # Accounts and sessions

    @initialize()
    def two_users_write(self) -> None:
        for name, title in zip(NAMES, TITLES[:2], strict=False):
            self.registers(name)
            self.writes(name, title, TEXTS[0], TAGS[:2])
            self.comments(name, 0, TEXTS[0])

    @rule(me=actors)
    def registers(self, me: str) -> None:
        user = User(me, f"{me}@example.org".lower())
        sent = {"username": me, "email": user.email, "password": PASSWORD}
        response = self.sends(None, "POST", "/users", {"user": sent})
        if me in self.model.users:
            taken = ["has already been taken"]
            assert response == (409, {"errors": {"username": taken, "email": taken}})
        else:
            self.model.users[me] = user
            self.opened(201, me, response)

    @rule(me=actors, right=st.booleans())
    def logs_in(self, me: str, right: bool) -> None:
        user = self.model.users.get(me)
        password = user.password if user and right else "not the password"
        if password == "not the password":
            if self.wrong[me] == 8:
                return  # the limit is ten
            self.wrong[me] += 1
        sent = {"email": f"{me}@Example.org", "password": password}
        response = self.sends(None, "POST", "/users/login", {"user": sent})
        if user and right:
            self.wrong[me] = 0
            self.opened(200, me, response)
        else:
            assert response == refused(401, "credentials", "invalid")

    def opened(self, status: int, me: str, response: Response) -> None:
        token = response[1]["user"]["token"]
        assert token not in [*self.ended, *itertools.chain(*(user.tokens for user in self.model.users.values()))]
        assert response == (status, self.model.account(me, token))
        self.model.users[me].tokens.append(token)

    @rule(me=actors)
    def logs_out(self, me: str) -> None:
        response = self.asks(me, "DELETE", "/user/sessions/current")
        if not self.is_refused(response, me):
            assert response == (204, None)
            self.ended.append(self.model.users[me].tokens.pop())

    @rule(me=actors)
    def ends_the_other_sessions(self, me: str) -> None:
        response = self.asks(me, "DELETE", "/user/sessions")
        if not self.is_refused(response, me):
            assert response == (204, None)
            self.others_end(me)

    def others_end(self, me: str) -> None:
        user = self.model.users[me]
        self.ended += user.tokens[:-1]
        del user.tokens[:-1]

    @rule(me=actors)
    def lists_the_sessions(self, me: str) -> None:
        response = self.asks(me, "GET", "/user/sessions")
        if not self.is_refused(response, me):
            sessions = response[1]["sessions"]
            ids = [session["id"] for session in sessions]
            assert (response[0], ids) == (200, sorted(ids, reverse=True))
            current = [session["current"] for session in sessions]
            assert current == [True] + [False] * (len(self.model.users[me].tokens) - 1)

    @rule(number=numbers)
    def uses_the_token_of_an_ended_session(self, number: int) -> None:
        for token in self.ended[number : number + 1]:
            for path in "/user", "/articles", "/profiles/Ann":
                assert self.sends(token, "GET", path) == refused(401, "token", "is invalid")

    changes = st.fixed_dictionaries(
        {}, optional={"bio": texts | st.sampled_from([None, ""]), "image": texts | st.none(), "password": texts}
    )

    @rule(me=actors, changes=changes)
    def reads_or_changes_the_account(self, me: str, changes: dict[str, Any]) -> None:
        response = self.asks(me, "PUT", "/user", {"user": changes}) if changes else self.asks(me, "GET", "/user")
        if not self.is_refused(response, me):
            user = self.model.users[me]
            for name, value in changes.items():
                setattr(user, name, value or None)
            if "password" in changes:
                self.others_end(me)
            assert response == (200, self.model.account(me, user.tokens[-1]))

    # Profiles

    @rule(me=actors, name=actors)
    def reads_a_profile(self, me: str, name: str) -> None:
        response = self.asks(me, "GET", f"/profiles/{quote(name.swapcase())}")
        if name in self.model.users:
            assert response == (200, {"profile": self.model.profile(name, self.who(me))})
        else:
            assert response == refused(404, "profile", "not found")

    @rule(me=actors, name=actors, on=st.booleans())
    def follows_or_unfollows(self, me: str, name: str, on: bool) -> None:
        response = self.asks(me, "POST" if on else "DELETE", f"/profiles/{quote(name)}/follow")
        if not self.is_refused(response, me, "profile", name in self.model.users):
            follows = self.model.users[me].follows
            follows.add(name) if on else follows.discard(name)
            assert response == (200, {"profile": self.model.profile(name, me)})

    # Articles

    @rule(me=actors, title=st.sampled_from(TITLES), text=texts, tags=tag_lists)
    def writes(self, me: str, title: str, text: str, tags: list[str]) -> None:
        sent = {"title": title, "description": text, "body": text, "tagList": tags}
        response = self.asks(me, "POST", "/articles", {"article": sent})
        if not self.is_refused(response, me):
            slug = self.new_slug(response, title)
            article = Article([slug], me, title, text, text, tags, self.clock.now(), self.clock.now())
            self.model.articles.append(article)
            self.model.use_tags(tags)
            assert response == (201, {"article": self.model.article(article, me)})

    def new_slug(self, response: Response, title: str) -> str:
        slug = response[1]["article"]["slug"]
        assert re.fullmatch(re.escape(slug_words(title)) + "-[a-z2-9]{8}", slug)
        assert slug not in [*self.gone, *itertools.chain(*(article.slugs for article in self.model.articles))]
        return slug

    edits = st.fixed_dictionaries(
        {},
        optional={"title": st.sampled_from(TITLES), "description": texts, "body": texts, "tagList": tag_lists},
    ).filter(bool)

    @rule(me=actors, number=numbers, changes=edits)
    def edits_an_article(self, me: str, number: int, changes: dict[str, Any]) -> None:
        article, slug = self.article(number)
        response = self.asks(me, "PUT", f"/articles/{slug}", {"article": changes})
        if self.is_refused(response, me, "article", article, owner=True):
            return
        if slug_words(changes.get("title", article.title)) != slug_words(article.title):
            article.slugs.append(self.new_slug(response, changes["title"]))
        for name in changes.keys() & {"title", "description", "body"}:
            setattr(article, name, changes[name])
        if "tagList" in changes:
            article.tags = changes["tagList"]
            self.model.use_tags(article.tags)
        article.updated = self.clock.now()
        assert response == (200, {"article": self.model.article(article, me)})

    @rule(me=actors, number=numbers)
    def deletes_an_article(self, me: str, number: int) -> None:
        article, slug = self.article(number)
        response = self.asks(me, "DELETE", f"/articles/{slug}")
        if not self.is_refused(response, me, "article", article, owner=True):
            assert response == (204, None)
            self.model.articles.remove(article)
            self.gone += article.slugs

    @rule(me=actors, number=numbers)
    def reads_an_article(self, me: str, number: int) -> None:
        article, slug = self.article(number)
        response = self.asks(me, "GET", f"/articles/{slug}")
        if article:
            assert response == (200, {"article": self.model.article(article, self.who(me))})
        else:
            assert response == refused(404, "article", "not found")

    @rule(me=actors, number=numbers, on=st.booleans())
    def favorites_or_unfavorites(self, me: str, number: int, on: bool) -> None:
        article, slug = self.article(number)
        response = self.asks(me, "POST" if on else "DELETE", f"/articles/{slug}/favorite")
        if not self.is_refused(response, me, "article", article):
            article.favorited_by.add(me) if on else article.favorited_by.discard(me)
            assert response == (200, {"article": self.model.article(article, me)})

    filters = st.fixed_dictionaries({}, optional={"tag": st.sampled_from(TAGS), "author": actors, "favorited": actors})

    @rule(me=actors, filters=filters, limit=limits, offset=offsets)
    def lists_articles(self, me: str, filters: dict[str, str], limit: int, offset: int) -> None:
        found = [
            article
            for article in self.model.articles
            if "tag" not in filters or filters["tag"] in article.tags
            if filters.get("author", article.author) == article.author
            if "favorited" not in filters or filters["favorited"] in article.favorited_by
        ]
        response = self.asks(me, "GET", f"/articles?{urlencode(filters | {'limit': limit, 'offset': offset})}")
        assert response == (200, self.model.listing(found, self.who(me), limit, offset))

    @rule(me=actors, limit=limits, offset=offsets)
    def reads_the_feed(self, me: str, limit: int, offset: int) -> None:
        response = self.asks(me, "GET", f"/articles/feed?limit={limit}&offset={offset}")
        if not self.is_refused(response, me):
            found = [article for article in self.model.articles if article.author in self.model.users[me].follows]
            assert response == (200, self.model.listing(found, me, limit, offset))

    @rule(me=actors)
    def lists_the_tags(self, me: str) -> None:
        assert self.asks(me, "GET", "/tags") == (200, {"tags": self.model.tags_in_use()})

    # Comments

    @rule(me=actors, number=numbers, text=texts)
    def comments(self, me: str, number: int, text: str) -> None:
        article, slug = self.article(number)
        response = self.asks(me, "POST", f"/articles/{slug}/comments", {"comment": {"body": text}})
        if not self.is_refused(response, me, "article", article):
            comment = Comment(response[1]["comment"]["id"], me, text, self.clock.now())
            assert comment.id not in self.ids
            self.ids.add(comment.id)
            article.comments.append(comment)
            assert response == (201, {"comment": self.model.comment(comment, me)})

    @rule(me=actors, number=numbers)
    def reads_the_comments(self, me: str, number: int) -> None:
        article, slug = self.article(number)
        response = self.asks(me, "GET", f"/articles/{slug}/comments")
        if article:
            known = [self.model.comment(each, self.who(me)) for each in reversed(article.comments)]
            assert response == (200, {"comments": known})
        else:
            assert response == refused(404, "article", "not found")

    @rule(me=actors, number=numbers, which=numbers)
    def deletes_a_comment(self, me: str, number: int, which: int) -> None:
        article, slug = self.article(number)
        ids = sorted(self.ids) or [1]  # also deleted ones, and those on other articles
        id = ids[which % len(ids)]
        comment = next((each for each in article.comments if each.id == id), None) if article else None
        response = self.asks(me, "DELETE", f"/articles/{slug}/comments/{id}")
        if not self.is_refused(response, me, "comment" if article else "article", comment, owner=True):
            assert response == (204, None)
            article.comments.remove(comment)


def test_the_api_responds_as_the_model_does(migrated, db, monkeypatch):
    monkeypatch.setattr(db_module, "load", lambda folder, connection: db.files)
    machine = type("Machine", (Stories,), {"migrated": migrated})

    run_state_machine_as_test(machine, settings=examples(15, stateful_step_count=40))
