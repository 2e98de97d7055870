# mypy: ignore-errors
# ruff: noqa: D106
"""The tables that Rowboat's migrations make."""

from django.db import models


class User(models.Model):
    """A person."""

    username = models.TextField()
    username_key = models.TextField()
    bio = models.TextField(null=True)
    image = models.TextField(null=True)

    is_authenticated = True

    class Meta:
        managed = False
        db_table = "users"


class Session(models.Model):
    """A token that was handed out."""

    user = models.ForeignKey(User, models.CASCADE)
    token_hash = models.TextField()
    last_used_at = models.TextField()

    class Meta:
        managed = False
        db_table = "sessions"


class Tag(models.Model):
    """A tag."""

    name = models.TextField()
    articles_count = models.IntegerField()

    class Meta:
        managed = False
        db_table = "tags"


class Article(models.Model):
    """An article."""

    author = models.ForeignKey(User, models.CASCADE)
    slug = models.TextField()
    title = models.TextField()
    description = models.TextField()
    favorites_count = models.IntegerField()
    created_at = models.TextField()
    updated_at = models.TextField()
    body = models.TextField()

    class Meta:
        managed = False
        db_table = "articles"


class Slug(models.Model):
    """A slug that an article has or had."""

    slug = models.TextField(primary_key=True)
    article = models.ForeignKey(Article, models.CASCADE, related_name="slugs")

    class Meta:
        managed = False
        db_table = "slugs"


class ArticleTag(models.Model):
    """An article's tag, at its place."""

    pk = models.CompositePrimaryKey("article_id", "position")
    article = models.ForeignKey(Article, models.CASCADE, related_name="article_tags")
    position = models.IntegerField()
    tag = models.ForeignKey(Tag, models.CASCADE)

    class Meta:
        managed = False
        db_table = "article_tags"


class Favorite(models.Model):
    """Who likes what."""

    pk = models.CompositePrimaryKey("user_id", "article_id")
    user = models.ForeignKey(User, models.CASCADE)
    article = models.ForeignKey(Article, models.CASCADE)

    class Meta:
        managed = False
        db_table = "favorites"


class Follow(models.Model):
    """Who reads whom."""

    pk = models.CompositePrimaryKey("follower_id", "followed_id")
    follower = models.ForeignKey(User, models.CASCADE, related_name="+")
    followed = models.ForeignKey(User, models.CASCADE, related_name="+")

    class Meta:
        managed = False
        db_table = "follows"


class Comment(models.Model):
    """A comment."""

    article = models.ForeignKey(Article, models.CASCADE)
    author = models.ForeignKey(User, models.CASCADE)
    body = models.TextField()
    created_at = models.TextField()

    class Meta:
        managed = False
        db_table = "comments"
