"""The whole API as a few lines of Python: a model that answers each request as the server must.

hypothesis makes up stories of three actors, who call it by both prefixes; each answer is compared with
that of the model, word for word but for times, slugs' last characters and tokens. Where they part, it shows the
shortest story that does so."""

import itertools
import json
import re
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from webtest import TestApp

import app
from config import Config
from db import Database
from handlers.articles import slug_words
from tests.conftest import HOME, PASSWORD
from tests.described import require_described
from tests.faults.length import TIMES

NAMES = ["Ann", "bob", "Çelik"]
TITLES = ["Rowing at dawn", "feed", "Ünïcode — 漕ぐ", "!"]
TAGS = ["boats", "dawn", "Boats", "漕"]
TEXTS = ["The text", "<b>'\"; --", "🚣 " * 40]


@dataclass
class User:
    name: str
    email: str
    password: str = PASSWORD
    bio: str | None = None
    image: str | None = None
    follows: set[str] = field(default_factory=set)  # by name
    tokens: list[str] = field(default_factory=list)  # of open sessions, oldest first


@dataclass
class Comment:
    id: int
    author: str
    body: str


@dataclass
class Article:
    slugs: list[str]  # the newest last; each of them leads here
    author: str
    title: str
    description: str
    body: str
    tags: list[str]
    created: str = ""
    updated: str = ""
    favorited_by: set[str] = field(default_factory=set)
    comments: list[Comment] = field(default_factory=list)


class Model:
    """What there is, and what it looks like to somebody; `me` is a name, or None for a stranger."""

    def __init__(self) -> None:
        self.users: dict[str, User] = {}
        self.articles: list[Article] = []  # the oldest first
        self.tags: list[str] = []  # in the order in which each was first used

    def profile(self, name: str, me: str | None) -> dict[str, Any]:
        user = self.users[name]
        following = me is not None and name in self.users[me].follows
        return {"username": name, "bio": user.bio, "image": user.image, "following": following}

    def account(self, name: str, token: str) -> dict[str, Any]:
        user = self.users[name]
        return {"email": user.email, "token": token, "username": name, "bio": user.bio, "image": user.image}

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
        """A page of these, the newest first, without bodies."""
        page = articles[::-1][offset : offset + limit]
        listed = [self.article(each, me) for each in page]
        return {
            "articles": [{key: value for key, value in each.items() if key != "body"} for each in listed],
            "articlesCount": len(articles),
        }

    def comment(self, comment: Comment, me: str | None) -> dict[str, Any]:
        return {"id": comment.id, "body": comment.body, "author": self.profile(comment.author, me)}

    def tags_in_use(self) -> list[str]:
        """The most used first, of equally used ones the newest."""
        counts = {tag: sum(tag in article.tags for article in self.articles) for tag in self.tags}
        newest_first = [tag for tag in reversed(self.tags) if counts[tag]]
        return sorted(newest_first, key=lambda tag: -counts[tag])

    def use_tags(self, tags: list[str]) -> None:
        self.tags += [tag for tag in tags if tag not in self.tags]


actors = st.sampled_from(NAMES)
numbers = st.integers(0, 9)  # of an article, a slug, a comment or a session: one of those that there are
texts = st.sampled_from(TEXTS)
tag_lists = st.lists(st.sampled_from(TAGS), max_size=3, unique=True)
limits, offsets = st.integers(1, 4), st.integers(0, 3)

MISSING = 401, {"errors": {"token": ["is missing"]}}
INVALID = 401, {"errors": {"token": ["is invalid"]}}


def not_found(thing: str) -> tuple[int, Any]:
    return 404, {"errors": {thing: ["not found"]}}


def forbidden(thing: str) -> tuple[int, Any]:
    return 403, {"errors": {thing: ["forbidden"]}}


class Stories(RuleBasedStateMachine):
    """Each rule is a request: the server and the model answer it, and must agree.

    An actor without a session asks like a stranger."""

    migrated: Path
    sent = itertools.count()  # requests

    def __init__(self) -> None:
        super().__init__()
        self.open = ExitStack()
        folder = Path(self.open.enter_context(tempfile.TemporaryDirectory()))
        shutil.copy(self.migrated, folder / "rowboat.db")
        database = self.open.enter_context(closing(Database(folder / "rowboat.db", HOME / "sql")))
        self.client = TestApp(app.make_app(Config(), database))
        self.crowd = self.open.enter_context(ThreadPoolExecutor(len(NAMES)))
        self.prefixes = itertools.cycle(app.PREFIXES)
        self.model = Model()
        self.ended: list[str] = []  # tokens
        self.gone: list[str] = ["nothing"]  # slugs
        self.ids: set[int] = set()  # of comments
        self.wrong = dict.fromkeys(NAMES, 0)  # passwords since the last right one

    def teardown(self) -> None:
        self.open.close()

    # How the server is asked.

    def token(self, me: str) -> str | None:
        """What the actor sends: the token of the newest session."""
        user = self.model.users.get(me)
        return user.tokens[-1] if user and user.tokens else None

    def who(self, me: str) -> str | None:
        """Whom the server takes the actor for."""
        return me if self.token(me) else None

    def sends(self, token: str | None, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """The status and the JSON of an answer, under one prefix after the other."""
        headers = {"Authorization": f"Token {token}"} if token else {}
        headers |= {"Content-Type": "application/json"} if body else {}
        raw = json.dumps(body).encode() if body else b""
        next(self.sent)
        address = next(self.prefixes) + path
        answer = self.client.request(address, method=method, body=raw, headers=headers, status="*")
        require_described(method, path, answer)
        return answer.status_int, answer.json if answer.body else None

    def asks(self, me: str, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        return self.sends(self.token(me), method, path, body)

    def article(self, number: int) -> tuple[Article | None, str]:
        """One of the articles, under any of its slugs; or none, under one that is gone."""
        if number == 9 or not self.model.articles:
            return None, self.gone[-1]
        article = self.model.articles[number % len(self.model.articles)]
        return article, article.slugs[number % len(article.slugs)]

    # Accounts and sessions.

    @initialize()
    def there_are_two_who_write(self) -> None:
        for name, title in zip(NAMES, TITLES[:2], strict=False):
            self.registers(name)
            self.writes(name, title, TEXTS[0], TAGS[:2])
            self.comments(name, 0, TEXTS[0])

    @rule(me=actors)
    def registers(self, me: str) -> None:
        user = User(me, f"{me}@example.org".lower())
        sent = {"username": me, "email": user.email, "password": PASSWORD}
        status, answer = self.sends(None, "POST", "/users", {"user": sent})
        if me in self.model.users:
            taken = ["has already been taken"]
            assert (status, answer) == (409, {"errors": {"username": taken, "email": taken}})
            return
        self.model.users[me] = user
        self._opened(status, 201, me, answer)

    @rule(me=actors, right=st.booleans())
    def logs_in(self, me: str, right: bool) -> None:
        user = self.model.users.get(me)
        password = user.password if user and right else "not the password"
        if password == "not the password":
            if self.wrong[me] == 8:
                return  # after ten, everybody has to wait
            self.wrong[me] += 1
        sent = {"email": f"{me}@Example.org", "password": password}
        status, answer = self.sends(None, "POST", "/users/login", {"user": sent})
        if user and right:
            self.wrong[me] = 0
            self._opened(status, 200, me, answer)
        else:
            assert (status, answer) == (401, {"errors": {"credentials": ["invalid"]}})

    def _opened(self, status: int, expected: int, me: str, answer: Any) -> None:
        token = answer["user"]["token"]
        assert token not in [*self.ended, *itertools.chain(*(user.tokens for user in self.model.users.values()))]
        assert (status, answer) == (expected, {"user": self.model.account(me, token)})
        self.model.users[me].tokens.append(token)

    @rule(me=actors)
    def logs_out(self, me: str) -> None:
        answer = self.asks(me, "DELETE", "/user/sessions/current")
        if self.who(me):
            assert answer == (204, None)
            self.ended.append(self.model.users[me].tokens.pop())
        else:
            assert answer == MISSING

    @rule(me=actors)
    def ends_the_other_sessions(self, me: str) -> None:
        answer = self.asks(me, "DELETE", "/user/sessions")
        if self.who(me):
            assert answer == (204, None)
            self._end_others(me)
        else:
            assert answer == MISSING

    def _end_others(self, me: str) -> None:
        user = self.model.users[me]
        self.ended += user.tokens[:-1]
        del user.tokens[:-1]

    @rule(me=actors)
    def looks_at_the_sessions(self, me: str) -> None:
        status, answer = self.asks(me, "GET", "/user/sessions")
        if self.who(me):
            ids = [session["id"] for session in answer["sessions"]]
            current = [session["current"] for session in answer["sessions"]]
            assert (status, ids) == (200, sorted(ids, reverse=True))
            assert current == [True] + [False] * (len(self.model.users[me].tokens) - 1)
        else:
            assert (status, answer) == MISSING

    @rule(number=numbers)
    def uses_a_token_that_has_ended(self, number: int) -> None:
        if self.ended:
            token = self.ended[number % len(self.ended)]
            for path in "/user", "/articles", "/profiles/Ann":
                assert self.sends(token, "GET", path) == INVALID

    @rule(me=actors)
    def looks_at_the_own_account(self, me: str) -> None:
        known = (200, {"user": self.model.account(me, self.token(me) or "")}) if self.who(me) else MISSING
        assert self.asks(me, "GET", "/user") == known

    changes = st.fixed_dictionaries(
        {}, optional={"bio": texts | st.sampled_from([None, ""]), "image": texts | st.none(), "password": texts}
    ).filter(bool)

    @rule(me=actors, changes=changes)
    def changes_the_account(self, me: str, changes: dict[str, Any]) -> None:
        answer = self.asks(me, "PUT", "/user", {"user": changes})
        if not self.who(me):
            assert answer == MISSING
            return
        user = self.model.users[me]
        for name, value in changes.items():
            setattr(user, name, value or None)
        if "password" in changes:
            self._end_others(me)
        assert answer == (200, {"user": self.model.account(me, user.tokens[-1])})

    # Profiles.

    @rule(me=actors, name=actors)
    def looks_at_a_profile(self, me: str, name: str) -> None:
        answer = self.asks(me, "GET", f"/profiles/{quote(name.swapcase())}")
        known = name in self.model.users
        assert answer == ((200, {"profile": self.model.profile(name, self.who(me))}) if known else not_found("profile"))

    @rule(me=actors, name=actors, on=st.booleans())
    def follows_or_no_longer(self, me: str, name: str, on: bool) -> None:
        answer = self.asks(me, "POST" if on else "DELETE", f"/profiles/{quote(name)}/follow")
        if not self.who(me):
            assert answer == MISSING
        elif name not in self.model.users:
            assert answer == not_found("profile")
        else:
            follows = self.model.users[me].follows
            follows.add(name) if on else follows.discard(name)
            assert answer == (200, {"profile": self.model.profile(name, me)})

    # Articles.

    @rule(me=actors, title=st.sampled_from(TITLES), text=texts, tags=tag_lists)
    def writes(self, me: str, title: str, text: str, tags: list[str]) -> None:
        sent = {"title": title, "description": text, "body": text, "tagList": tags}
        status, answer = self.asks(me, "POST", "/articles", {"article": sent})
        if not self.who(me):
            assert (status, answer) == MISSING
            return
        article = Article([answer["article"]["slug"]], me, title, text, text, tags)
        self._require_new(article.slugs[0], title)
        article.created = article.updated = answer["article"]["createdAt"]
        self.model.articles.append(article)
        self.model.use_tags(tags)
        assert (status, answer) == (201, {"article": self.model.article(article, me)})

    def _require_new(self, slug: str, title: str) -> None:
        assert re.fullmatch(re.escape(slug_words(title)) + "-[a-z2-9]{8}", slug)
        assert slug not in [*self.gone, *itertools.chain(*(article.slugs for article in self.model.articles))]

    edits = st.fixed_dictionaries(
        {},
        optional={"title": st.sampled_from(TITLES), "description": texts, "body": texts, "tagList": tag_lists},
    ).filter(bool)

    @rule(me=actors, number=numbers, changes=edits)
    def edits_one(self, me: str, number: int, changes: dict[str, Any]) -> None:
        article, slug = self.article(number)
        status, answer = self.asks(me, "PUT", f"/articles/{slug}", {"article": changes})
        if not self.who(me):
            assert (status, answer) == MISSING
        elif not article:
            assert (status, answer) == not_found("article")
        elif article.author != me:
            assert (status, answer) == forbidden("article")
        else:
            if slug_words(changes.get("title", article.title)) != slug_words(article.title):
                self._require_new(answer["article"]["slug"], changes["title"])
                article.slugs.append(answer["article"]["slug"])
            for name in changes.keys() & {"title", "description", "body"}:
                setattr(article, name, changes[name])
            if "tagList" in changes:
                article.tags = changes["tagList"]
                self.model.use_tags(article.tags)
            assert answer["article"]["updatedAt"] > article.updated
            article.updated = answer["article"]["updatedAt"]
            assert (status, answer) == (200, {"article": self.model.article(article, me)})

    @rule(me=actors, number=numbers)
    def deletes_one(self, me: str, number: int) -> None:
        article, slug = self.article(number)
        answer = self.asks(me, "DELETE", f"/articles/{slug}")
        if not self.who(me):
            assert answer == MISSING
        elif not article:
            assert answer == not_found("article")
        elif article.author != me:
            assert answer == forbidden("article")
        else:
            assert answer == (204, None)
            self.model.articles.remove(article)
            self.gone += article.slugs

    @rule(me=actors, number=numbers)
    def reads_one(self, me: str, number: int) -> None:
        article, slug = self.article(number)
        known = (200, {"article": self.model.article(article, self.who(me))}) if article else not_found("article")
        assert self.asks(me, "GET", f"/articles/{slug}") == known

    @rule(me=actors, number=numbers, on=st.booleans())
    def likes_or_no_longer(self, me: str, number: int, on: bool) -> None:
        article, slug = self.article(number)
        answer = self.asks(me, "POST" if on else "DELETE", f"/articles/{slug}/favorite")
        if not self.who(me):
            assert answer == MISSING
        elif not article:
            assert answer == not_found("article")
        else:
            article.favorited_by.add(me) if on else article.favorited_by.discard(me)
            assert answer == (200, {"article": self.model.article(article, me)})

    filters = st.fixed_dictionaries({}, optional={"tag": st.sampled_from(TAGS), "author": actors, "favorited": actors})

    @rule(me=actors, filters=filters, limit=limits, offset=offsets)
    def lists(self, me: str, filters: dict[str, str], limit: int, offset: int) -> None:
        found = [
            article
            for article in self.model.articles
            if "tag" not in filters or filters["tag"] in article.tags
            if filters.get("author", article.author) == article.author
            if "favorited" not in filters or filters["favorited"] in article.favorited_by
        ]
        query = urlencode(filters | {"limit": limit, "offset": offset})
        known = self.model.listing(found, self.who(me), limit, offset)
        assert self.asks(me, "GET", f"/articles?{query}") == (200, known)

    @rule(me=actors, limit=limits, offset=offsets)
    def looks_at_the_feed(self, me: str, limit: int, offset: int) -> None:
        answer = self.asks(me, "GET", f"/articles/feed?limit={limit}&offset={offset}")
        if self.who(me):
            found = [article for article in self.model.articles if article.author in self.model.users[me].follows]
            assert answer == (200, self.model.listing(found, me, limit, offset))
        else:
            assert answer == MISSING

    @rule(me=actors)
    def looks_at_the_tags(self, me: str) -> None:
        assert self.asks(me, "GET", "/tags") == (200, {"tags": self.model.tags_in_use()})

    # Comments.

    @rule(me=actors, number=numbers, text=texts)
    def comments(self, me: str, number: int, text: str) -> None:
        article, slug = self.article(number)
        status, answer = self.asks(me, "POST", f"/articles/{slug}/comments", {"comment": {"body": text}})
        if not self.who(me):
            assert (status, answer) == MISSING
        elif not article:
            assert (status, answer) == not_found("article")
        else:
            self.is_written(article, me, text, status, answer)

    def is_written(self, article: Article, me: str, text: str, status: int, answer: Any) -> None:
        """The answer to a new comment, which the model has from now on."""
        comment = Comment(answer["comment"]["id"], me, text)
        assert comment.id not in self.ids
        self.ids.add(comment.id)
        article.comments.append(comment)
        assert (status, _without_times(answer["comment"])) == (201, self.model.comment(comment, me))

    @rule(me=actors, number=numbers)
    def reads_the_comments(self, me: str, number: int) -> None:
        article, slug = self.article(number)
        status, answer = self.asks(me, "GET", f"/articles/{slug}/comments")
        if article:
            known = [self.model.comment(each, self.who(me)) for each in reversed(article.comments)]
            assert (status, [_without_times(each) for each in answer["comments"]]) == (200, known)
        else:
            assert (status, answer) == not_found("article")

    @rule(me=actors, number=numbers, which=numbers)
    def deletes_a_comment(self, me: str, number: int, which: int) -> None:
        article, slug = self.article(number)
        there = {comment.id: comment for comment in article.comments} if article else {}
        ids = sorted(self.ids) or [1]  # also those of other articles, and deleted ones
        comment = there.get(ids[which % len(ids)])
        answer = self.asks(me, "DELETE", f"/articles/{slug}/comments/{ids[which % len(ids)]}")
        if not self.who(me):
            assert answer == MISSING
        elif not article:
            assert answer == not_found("article")
        elif not comment:
            assert answer == not_found("comment")
        elif comment.author != me:
            assert answer == forbidden("comment")
        else:
            assert answer == (204, None)
            article.comments.remove(comment)

    # All at once.

    kinds = st.sampled_from(["like", "like no longer", "follow", "follow no longer", "comment"])
    acts = st.lists(kinds, min_size=len(NAMES), max_size=len(NAMES))

    @rule(acts=acts, number=numbers, name=actors, text=texts)
    def act_at_once(self, acts: list[str], number: int, name: str, text: str) -> None:
        """One request of each, about what is their own: the order makes no difference, but for the count of likes that
        an answer tells meanwhile."""
        article, slug = self.article(number)
        requests: dict[str, tuple[Any, ...]] = {
            "like": ("POST", f"/articles/{slug}/favorite"),
            "like no longer": ("DELETE", f"/articles/{slug}/favorite"),
            "follow": ("POST", f"/profiles/{quote(name)}/follow"),
            "follow no longer": ("DELETE", f"/profiles/{quote(name)}/follow"),
            "comment": ("POST", f"/articles/{slug}/comments", {"comment": {"body": text}}),
        }
        answers = list(self.crowd.map(lambda me, act: self.asks(me, *requests[act]), NAMES, acts))

        for me, act, (status, answer) in zip(NAMES, acts, answers, strict=True):
            if not self.who(me):
                assert (status, answer) == MISSING
            elif "follow" in act and name not in self.model.users:
                assert (status, answer) == not_found("profile")
            elif "follow" in act:
                follows = self.model.users[me].follows
                follows.add(name) if act == "follow" else follows.discard(name)
                assert (status, answer) == (200, {"profile": self.model.profile(name, me)})
            elif not article:
                assert (status, answer) == not_found("article")
            elif "like" in act:
                article.favorited_by.add(me) if act == "like" else article.favorited_by.discard(me)
                count = {"favoritesCount": answer["article"]["favoritesCount"]}
                assert 0 <= count["favoritesCount"] <= len(NAMES)
                assert (status, answer) == (200, {"article": self.model.article(article, me) | count})
            else:
                self.is_written(article, me, text, status, answer)
        if article:
            article.comments.sort(key=lambda comment: comment.id)
        for me in NAMES:
            self.reads_one(me, number)
            self.reads_the_comments(me, number)
            self.looks_at_a_profile(me, name)


def _without_times(comment: dict[str, Any]) -> dict[str, Any]:
    assert comment["createdAt"] == comment["updatedAt"]
    return {key: value for key, value in comment.items() if not key.endswith("At")}


@pytest.mark.slow
def test_the_server_answers_as_the_model_does(migrated):
    stories = settings(
        max_examples=100 * TIMES,
        stateful_step_count=50,
        derandomize=TIMES == 1,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    machine = type("Machine", (Stories,), {"migrated": migrated})

    run_state_machine_as_test(machine, settings=stories)
    print(f"{next(Stories.sent)} requests")
