# mypy: ignore-errors
"""FastAPI with the SQLAlchemy ORM, for uvicorn."""

from typing import Annotated

from fastapi import Depends, FastAPI, Header, HTTPException, Query
from pydantic import BaseModel, Field

from bench.contestants import sqlalchemy_queries as queries

app = FastAPI()


class Profile(BaseModel):
    """Somebody, as others see them."""

    username: str
    bio: str | None
    image: str | None
    following: bool


class ListedArticle(BaseModel):
    """An article without its body."""

    slug: str
    title: str
    description: str
    tagList: list[str]
    createdAt: str
    updatedAt: str
    favorited: bool
    favoritesCount: int
    author: Profile


class Article(ListedArticle):
    """An article with its body."""

    body: str


class Articles(BaseModel):
    """A page of articles."""

    articles: list[ListedArticle]
    articlesCount: int


class OneArticle(BaseModel):
    """One article."""

    article: Article


class Comment(BaseModel):
    """A comment."""

    id: int
    createdAt: str
    updatedAt: str
    body: str
    author: Profile


class Comments(BaseModel):
    """The comments of an article."""

    comments: list[Comment]


class OneComment(BaseModel):
    """One comment."""

    comment: Comment


class NewComment(BaseModel):
    """What is to be said."""

    body: Annotated[str, Field(min_length=1, max_length=65536)]


class NewCommentBody(BaseModel):
    """What is sent."""

    comment: NewComment


class Tags(BaseModel):
    """Names of tags."""

    tags: list[str]


class Page(BaseModel):
    """Which part of a listing."""

    limit: Annotated[int, Field(ge=1)] = 20
    offset: Annotated[int, Field(ge=0, le=100_000)] = 0


class Filters(Page):
    """Which articles."""

    tag: str | None = None
    author: str | None = None
    favorited: str | None = None


def get_session():
    """A session for each request."""
    with queries.SessionLocal() as session:
        yield session


Session = Annotated[queries.Session, Depends(get_session)]


def get_user(session: Session, authorization: Annotated[str | None, Header()] = None):
    """Who is calling, if anybody says so."""
    if authorization is None:
        return None
    user = queries.user_of(session, authorization)
    if user is None:
        raise HTTPException(401)
    return user


User = Annotated[queries.User | None, Depends(get_user)]


async def get_required_user(user: User):
    """Who is calling, where somebody must."""
    if user is None:
        raise HTTPException(401)
    return user


RequiredUser = Annotated[queries.User, Depends(get_required_user)]


def _profile(author, followed):
    return Profile(username=author.username, bio=author.bio, image=author.image, following=author.id in followed)


def _fields(article, liked, followed):
    return {
        "slug": article.slug,
        "title": article.title,
        "description": article.description,
        "tagList": [tag.name for tag in article.tags],
        "createdAt": article.created_at,
        "updatedAt": article.updated_at,
        "favorited": article.id in liked,
        "favoritesCount": article.favorites_count,
        "author": _profile(article.author, followed),
    }


def _comment(comment, followed):
    return Comment(
        id=comment.id,
        createdAt=comment.created_at,
        updatedAt=comment.created_at,
        body=comment.body,
        author=_profile(comment.author, followed),
    )


def _listing(session, user, found, page):
    articles, total = queries.page(session, found, min(page.limit, 100), page.offset)
    liked = queries.liked_by(session, user, articles)
    followed = queries.followed_by(session, user, [article.author for article in articles])
    listed = [ListedArticle(**_fields(article, liked, followed)) for article in articles]
    return Articles(articles=listed, articlesCount=total)


@app.get("/api/articles")
def list_articles(session: Session, user: User, query: Annotated[Filters, Query()]) -> Articles:
    """A listing."""
    return _listing(session, user, queries.all_articles(query.tag, query.author, query.favorited), query)


@app.get("/api/articles/feed")
def feed(session: Session, user: RequiredUser, query: Annotated[Page, Query()]) -> Articles:
    """Articles by those whom the caller follows."""
    return _listing(session, user, queries.feed_of(user), query)


@app.get("/api/articles/{slug}")
def read_article(session: Session, user: User, slug: str) -> OneArticle:
    """One article."""
    article = queries.article_at(session, slug)
    if article is None:
        raise HTTPException(404)
    liked = queries.liked_by(session, user, [article])
    followed = queries.followed_by(session, user, [article.author])
    return OneArticle(article=Article(**_fields(article, liked, followed), body=article.body))


def get_article_id(session: Session, slug: str) -> int:
    """The article that the path names."""
    article_id = queries.article_id_at(session, slug)
    if article_id is None:
        raise HTTPException(404)
    return article_id


ArticleId = Annotated[int, Depends(get_article_id)]


@app.get("/api/articles/{slug}/comments")
def list_comments(session: Session, user: User, article_id: ArticleId) -> Comments:
    """The comments of an article."""
    comments = queries.comments_on(session, article_id)
    followed = queries.followed_by(session, user, [comment.author for comment in comments])
    return Comments(comments=[_comment(comment, followed) for comment in comments])


@app.post("/api/articles/{slug}/comments", status_code=201)
def add_comment(session: Session, user: RequiredUser, article_id: ArticleId, sent: NewCommentBody) -> OneComment:
    """Comment on an article."""
    comment = queries.add_comment(session, article_id, user, sent.comment.body)
    followed = queries.followed_by(session, user, [comment.author])
    return OneComment(comment=_comment(comment, followed))


@app.get("/api/tags")
def list_tags(session: Session) -> Tags:
    """The tags."""
    return Tags(tags=queries.tag_names(session))
