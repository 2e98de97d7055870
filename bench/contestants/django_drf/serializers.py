# mypy: ignore-errors
# ruff: noqa: D106
"""The JSON of each thing. `liked` and `followed`, the caller's sets of ids, come with the context."""

from rest_framework import serializers

from bench.contestants.django_drf.models import Article, Comment, User


class ProfileSerializer(serializers.ModelSerializer):
    """Somebody, as others see them."""

    following = serializers.SerializerMethodField()

    class Meta:
        model = User
        fields = ("username", "bio", "image", "following")

    def get_following(self, user) -> bool:
        """Whether the caller follows them."""
        return user.id in self.context["followed"]


class ListedArticleSerializer(serializers.ModelSerializer):
    """An article without its body."""

    tagList = serializers.SerializerMethodField()
    createdAt = serializers.CharField(source="created_at")
    updatedAt = serializers.CharField(source="updated_at")
    favorited = serializers.SerializerMethodField()
    favoritesCount = serializers.IntegerField(source="favorites_count")
    author = ProfileSerializer()

    class Meta:
        model = Article
        fields = tuple("slug title description tagList createdAt updatedAt favorited favoritesCount author".split())

    def get_tagList(self, article) -> list[str]:
        """The names of its tags, in order."""
        return [each.tag.name for each in article.article_tags.all()]

    def get_favorited(self, article) -> bool:
        """Whether the caller likes it."""
        return article.id in self.context["liked"]


class ArticleSerializer(ListedArticleSerializer):
    """An article with its body."""

    class Meta(ListedArticleSerializer.Meta):
        fields = (*ListedArticleSerializer.Meta.fields, "body")


class CommentSerializer(serializers.ModelSerializer):
    """A comment."""

    createdAt = serializers.CharField(source="created_at", read_only=True)
    updatedAt = serializers.CharField(source="created_at", read_only=True)
    author = ProfileSerializer(read_only=True)

    class Meta:
        model = Comment
        fields = ("id", "createdAt", "updatedAt", "body", "author")
