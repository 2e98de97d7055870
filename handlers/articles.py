"""Articles: reading, writing, listing, and marking them as favorites."""

import json
import re
import secrets
from datetime import datetime
from typing import Annotated, Any

from bottle import HTTPError, request
from pydantic import AfterValidator, BaseModel, BeforeValidator, FailFast, Field
from slugify import slugify

import audit
import throttle
from config import Config
from db import Database
from handlers.fields import (
    MOST_BYTES,
    Model,
    Page,
    Text,
    link_to_next,
    nfc,
    optional,
    page_answer,
    set_link,
    wrong,
)
from handlers.names import name_key
from handlers.profiles import Profile
from handlers.words import query as search_query
from handlers.words import search_index
from plugins import errors

MOST_TAGS = 50
LONGEST_TAG = 64

# Each page of a search sorts all matches, so the depth is limited.
DEEPEST_SEARCH = 1000


def _array(value: Any) -> Any:
    if not isinstance(value, list):
        raise wrong("must be an array of strings")
    return value


def _without_duplicates(tags: list[str]) -> list[str]:
    unique = list(dict.fromkeys(tags))
    if len(unique) > MOST_TAGS:
        raise wrong(f"is too long (maximum is {MOST_TAGS} tags)")
    return unique


Title = Annotated[str, Text(255, trimmed=True)]
Description = Annotated[str, Text(1000)]
Body = Annotated[str, Text(1_000_000)]
# FailFast: half a million wrong tags in one body would be as many errors, in half a gigabyte.
Tag = Annotated[str, Text(LONGEST_TAG, trimmed=True, nfc=True)]
TagList = Annotated[list[Tag], FailFast(), BeforeValidator(_array), AfterValidator(_without_duplicates)]


class NewArticle(Model):
    """What makes an article."""

    title: Title
    description: Description
    body: Body
    tags: TagList = Field(default=[], alias="tagList")


class ArticleChanges(Model):
    """What is to change of an article; what is left out stays."""

    title: Title = optional()
    description: Description = optional()
    body: Body = optional()
    tags: TagList = optional(alias="tagList")


class ListedArticle(BaseModel):
    """An article as listings show it: without its body."""

    slug: str
    title: str
    description: str
    tagList: list[str]
    createdAt: datetime
    updatedAt: datetime
    favorited: bool
    favoritesCount: int
    author: Profile


class Article(ListedArticle):
    """An article with its body."""

    body: str


class ArticleAnswer(BaseModel):
    """One article."""

    article: Article


class ArticlesAnswer(BaseModel):
    """A page of articles, newest first, and how many the whole listing has."""

    articles: list[ListedArticle]
    articlesCount: int


class Filters(Page):
    """Which articles are asked for."""

    tag: str = optional(description="Only articles with this tag.")
    author: str = optional(description="Only articles by the user of this name.")
    favorited: str = optional(description="Only articles that the user of this name likes.")
    q: Annotated[str, Text(200, blank=True)] = optional(
        description="Only articles with all these words; those with the words in their title first."
    )


def slug_words(title: str) -> str:
    """The title as it stands in a slug: ASCII, lower case, hyphens; "article" for one without letters or digits."""
    return slugify(title, max_length=80, word_boundary=True) or "article"


def new_slug(title: str) -> str:
    """A slug that no other article has: the title's words, a hyphen, and eight characters (40 bits) of chance."""
    return slug_words(title) + "-" + "".join(secrets.choice("abcdefghijkmnpqrstuvwxyz23456789") for _ in range(8))


def list_articles(db: Database, me: int | None, query: Filters) -> str:
    """Articles, newest first; with `q`, those with its words, titles first. Of several filters, all must pass."""
    if query.q is not None:
        finder = "articles/search"
        _require_searchable(query)
    elif query.tag is query.author is query.favorited is None:
        finder = "articles/newest"
    else:
        finder = "articles/find"
    found = db.row(
        finder,
        "articles/list",
        me=me,
        words=query.q and search_query(query.q),
        tag=query.tag and nfc(query.tag, LONGEST_TAG),
        author=query.author and name_key(query.author),
        favorited=query.favorited and name_key(query.favorited),
        before=query.before,
        limit=query.limit,
        offset=query.offset,
        most_bytes=MOST_BYTES,
    )
    return _page(found, query)


def _page(found: dict[str, Any] | None, query: Page) -> str:
    """The body of a page. One that was cut, for its articles are long, leads to the rest of them by a Link header."""
    assert found
    page, shown = json.loads(found["page"]), found["shown"]
    if shown == len(page):
        return page_answer(found)
    if getattr(query, "q", None) is None:
        link_to_next(page[shown - 1])
    else:  # an order by rank has no cursor
        set_link(offset=str(query.offset + shown))
    return found["response"]


def _require_searchable(query: Filters) -> None:
    wrong = {}
    if query.cursor:
        wrong["cursor"] = "cannot be used with q; use offset"
    if query.offset > DEEPEST_SEARCH:
        wrong["offset"] = f"must be at most {DEEPEST_SEARCH} with q"
    if wrong:
        raise errors.invalid(wrong)


def feed(db: Database, me: int, query: Page) -> str:
    """Articles by those whom the caller follows, newest first."""
    found = db.row(
        "articles/feed",
        "articles/list",
        me=me,
        before=query.before,
        limit=query.limit,
        offset=query.offset,
        most_bytes=MOST_BYTES,
    )
    return _page(found, query)


def read(db: Database, me: int | None, slug: str) -> str | HTTPError:
    """One article, under any slug that it has or had."""
    article: str | None = db.read("articles/render", slug=slug, me=me)
    if article is None:
        return errors.not_found("article")
    if updated_at := _UPDATED_AT.search(article):
        request.environ["rowboat.version"] = updated_at[1]
    return article


# In JSON a quote within a text is escaped, so no text of an author's looks like this.
_UPDATED_AT = re.compile('"updatedAt":"([^"]+)"')
_VERSION = re.compile(r'"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)[!#-~]*"')


def expected_versions() -> str | None:
    """A JSON array of the versions in If-Match (RFC 9110, section 13.1.1); None without the header, and for `*`.

    An ETag begins with its article's version. What follows depends on the caller, on favorites, and on proxies that
    compress."""
    if_match = request.environ.get("HTTP_IF_MATCH", "*").strip(" \t")
    return None if if_match == "*" else json.dumps(_VERSION.findall(if_match))


def create(db: Database, config: Config, me: int, article: NewArticle) -> str:
    """Publish an article."""
    return db.write(
        "users/must_be_active",
        "attempts/must_be_allowed",
        "articles/create",
        "articles/index",
        "articles/set_tags",
        "attempts/count",
        "articles/render",
        me=me,
        slug=new_slug(article.title),
        title=article.title,
        description=article.description,
        body=article.body,
        tags=json.dumps(article.tags),
        **search_index(article.title, article.description, article.body),
        now=db.clock.now(),
        now_ms=db.clock.milliseconds(),
        **throttle.posts("articles", me, config),
    )


def update(db: Database, me: int, slug: str, article: ArticleChanges) -> str:
    """Change what was sent of an article of the caller's. A new title makes a new slug; the old one still finds it."""
    changes = article.model_dump(exclude_unset=True)
    tags = changes.pop("tags", None)
    return db.write(
        "users/must_be_active",
        "articles/must_be_mine",
        "articles/update",
        "articles/index",
        "articles/set_tags",
        "articles/render",
        me=me,
        slug=slug,
        versions=expected_versions(),
        changes=json.dumps(changes),
        words=slug_words(article.title) if "title" in changes else None,
        tags=json.dumps(tags) if tags is not None else None,
        **search_index(article.title, article.description, article.body),
        now=db.clock.now(),
    )


def delete(db: Database, me: int, slug: str) -> None:
    """Delete an article of the caller's, or as a moderator anybody's, with its comments and favorites."""
    db.write(
        "users/must_be_active",
        "articles/must_be_deletable",
        "articles/identify",
        "audit/note",
        "articles/delete",
        slug=slug,
        me=me,
        versions=expected_versions(),
        now=db.clock.now(),
        **audit.of_request("article.delete"),
    )


def favorite(db: Database, me: int, slug: str) -> str | HTTPError:
    """Mark an article as a favorite of the caller; twice changes nothing."""
    files = "users/must_be_active", "articles/favorite", "articles/render"
    article = db.write(*files, slug=slug, me=me, now=db.clock.now())
    return article or errors.not_found("article")


def unfavorite(db: Database, me: int, slug: str) -> str | HTTPError:
    """Take an article off the caller's favorites; twice changes nothing."""
    article = db.write("users/must_be_active", "articles/unfavorite", "articles/render", slug=slug, me=me)
    return article or errors.not_found("article")


ROUTES = [
    (
        "GET",
        "/articles",
        list_articles,
        {"auth": "optional", "query": Filters, "answers": ArticlesAnswer, "cache": True},
    ),
    ("GET", "/articles/feed", feed, {"auth": "required", "query": Page, "answers": ArticlesAnswer, "cache": True}),
    (
        "POST",
        "/articles",
        create,
        {
            "auth": "required",
            "body": ("article", NewArticle),
            "config": True,
            "status": 201,
            "answers": ArticleAnswer,
            "errors": (409, 429),
        },
    ),
    ("GET", "/articles/<slug>", read, {"auth": "optional", "answers": ArticleAnswer, "cache": True}),
    (
        "PUT",
        "/articles/<slug>",
        update,
        {"auth": "required", "body": ("article", ArticleChanges), "answers": ArticleAnswer, "errors": (403, 409, 412)},
    ),
    ("DELETE", "/articles/<slug>", delete, {"auth": "required", "status": 204, "errors": (403, 412)}),
    ("POST", "/articles/<slug>/favorite", favorite, {"auth": "required", "answers": ArticleAnswer}),
    ("DELETE", "/articles/<slug>/favorite", unfavorite, {"auth": "required", "answers": ArticleAnswer}),
]
