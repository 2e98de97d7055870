# mypy: ignore-errors
"""The tables and the queries of the two SQLAlchemy contestants: eager loading, no query per row."""

import os
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from sqlalchemy import ForeignKey, Select, create_engine, event, func, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    defer,
    joinedload,
    mapped_column,
    relationship,
    selectinload,
    sessionmaker,
)

# Up to forty threads answer at once (FastAPI's pool), each with a connection of its own.
engine = create_engine(f"sqlite:///{os.environ['BENCH_DATABASE']}", pool_size=40)
SessionLocal = sessionmaker(engine, expire_on_commit=False)


@event.listens_for(engine, "connect")
def _configure(connection, record):
    """The same durability as Rowboat's; WAL stands in the file."""
    for pragma in ("busy_timeout = 5000", "foreign_keys = ON", "synchronous = FULL", "cache_size = -8000"):
        connection.execute(f"PRAGMA {pragma}")


class Base(DeclarativeBase):
    """What the tables share."""


class User(Base):
    """A person."""

    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str]
    username_key: Mapped[str]
    bio: Mapped[str | None]
    image: Mapped[str | None]


class AuthSession(Base):
    """A token that was handed out."""

    __tablename__ = "sessions"
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    token_hash: Mapped[str]
    last_used_at: Mapped[str]
    user: Mapped[User] = relationship()


class Follow(Base):
    """Who reads whom."""

    __tablename__ = "follows"
    follower_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True)
    followed_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True)


class Favorite(Base):
    """Who likes what."""

    __tablename__ = "favorites"
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True)
    article_id: Mapped[int] = mapped_column(ForeignKey("articles.id"), primary_key=True)
    created_at: Mapped[str]


class Slug(Base):
    """A slug that an article has or had."""

    __tablename__ = "slugs"
    slug: Mapped[str] = mapped_column(primary_key=True)
    article_id: Mapped[int] = mapped_column(ForeignKey("articles.id"))


class Tag(Base):
    """A tag."""

    __tablename__ = "tags"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    articles_count: Mapped[int]


class ArticleTag(Base):
    """An article's tag, at its place."""

    __tablename__ = "article_tags"
    article_id: Mapped[int] = mapped_column(ForeignKey("articles.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    tag_id: Mapped[int] = mapped_column(ForeignKey("tags.id"))


class Article(Base):
    """An article."""

    __tablename__ = "articles"
    id: Mapped[int] = mapped_column(primary_key=True)
    author_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    slug: Mapped[str]
    title: Mapped[str]
    description: Mapped[str]
    favorites_count: Mapped[int]
    created_at: Mapped[str]
    updated_at: Mapped[str]
    body: Mapped[str]
    author: Mapped[User] = relationship()
    tags: Mapped[list[Tag]] = relationship(secondary="article_tags", order_by=ArticleTag.position, viewonly=True)


class Comment(Base):
    """A comment."""

    __tablename__ = "comments"
    id: Mapped[int] = mapped_column(primary_key=True)
    article_id: Mapped[int] = mapped_column(ForeignKey("articles.id"))
    author_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    body: Mapped[str]
    created_at: Mapped[str]
    author: Mapped[User] = relationship()


def user_of(session: Session, header: str | None) -> User | None:
    """Who sends this Authorization header; None for a token that is nobody's."""
    token_hash = sha256((header or "").partition(" ")[2].encode()).hexdigest()
    since = _stamp(datetime.now(UTC) - timedelta(days=30))
    return session.scalar(
        select(User)
        .join(AuthSession, AuthSession.user_id == User.id)
        .where(AuthSession.token_hash == token_hash, AuthSession.last_used_at > since)
    )


def now() -> str:
    """The time as the database has it."""
    return _stamp(datetime.now(UTC))


def _stamp(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def all_articles(tag: str | None, author: str | None, favorited: str | None) -> Select:
    """The articles that pass the filters."""
    found = select(Article)
    if tag is not None:
        found = found.where(Article.id.in_(select(ArticleTag.article_id).join(Tag).where(Tag.name == tag)))
    if author is not None:
        found = found.where(Article.author_id == _id_of(author))
    if favorited is not None:
        liked = select(Favorite.article_id).where(Favorite.user_id == _id_of(favorited))
        found = found.where(Article.id.in_(liked))
    return found


def feed_of(user: User) -> Select:
    """The articles by those whom a user follows."""
    followed = select(Follow.followed_id).where(Follow.follower_id == user.id)
    return select(Article).where(Article.author_id.in_(followed))


def page(session: Session, found: Select, limit: int, offset: int) -> tuple[list[Article], int]:
    """A page of those articles with authors and tags, newest first, and how many there are in all."""
    total = session.scalar(found.with_only_columns(func.count(), maintain_column_froms=True))
    listed = found.order_by(Article.id.desc()).limit(limit).offset(offset)
    articles = session.scalars(_with_relations(listed).options(defer(Article.body, raiseload=True)))
    return list(articles), total


def article_at(session: Session, slug: str) -> Article | None:
    """The article that has or had a slug."""
    found = select(Article).join(Slug, Slug.article_id == Article.id).where(Slug.slug == slug)
    return session.scalar(_with_relations(found))


def article_id_at(session: Session, slug: str) -> int | None:
    """Its id alone."""
    return session.scalar(select(Slug.article_id).where(Slug.slug == slug))


def comments_on(session: Session, article_id: int) -> list[Comment]:
    """The newest comments of an article with their authors."""
    found = select(Comment).where(Comment.article_id == article_id).order_by(Comment.id.desc()).limit(1000)
    return list(session.scalars(found.options(joinedload(Comment.author, innerjoin=True))))


def add_comment(session: Session, article_id: int, author: User, body: str) -> Comment:
    """Write a comment; it is stored when this returns."""
    comment = Comment(article_id=article_id, author_id=author.id, author=author, body=body, created_at=now())
    session.add(comment)
    session.commit()
    return comment


def add_favorite(session: Session, article_id: int, user: User) -> None:
    """Mark an article as a favorite of a user; twice changes nothing. It is stored when this returns."""
    favorite = insert(Favorite).values(user_id=user.id, article_id=article_id, created_at=now())
    session.execute(favorite.on_conflict_do_nothing())
    session.commit()


def tag_names(session: Session) -> list[str]:
    """The tags in use, most used first."""
    used = select(Tag.name).where(Tag.articles_count > 0)
    return list(session.scalars(used.order_by(Tag.articles_count.desc(), Tag.id.desc()).limit(1000)))


def liked_by(session: Session, user: User | None, articles: list[Article]) -> set[int]:
    """The ids of those articles that a user likes."""
    if user is None:
        return set()
    ids = [article.id for article in articles]
    liked = select(Favorite.article_id).where(Favorite.user_id == user.id, Favorite.article_id.in_(ids))
    return set(session.scalars(liked))


def followed_by(session: Session, user: User | None, authors: list[User]) -> set[int]:
    """The ids of those authors whom a user follows."""
    if user is None:
        return set()
    ids = {author.id for author in authors}
    followed = select(Follow.followed_id).where(Follow.follower_id == user.id, Follow.followed_id.in_(ids))
    return set(session.scalars(followed))


def _id_of(username: str):
    return select(User.id).where(User.username_key == username.casefold()).scalar_subquery()


def _with_relations(articles: Select) -> Select:
    return articles.options(joinedload(Article.author, innerjoin=True), selectinload(Article.tags))
