# mypy: ignore-errors
"""The routes."""

from datetime import UTC, datetime

from django.db.models import Prefetch
from django.http import Http404
from rest_framework import generics, permissions
from rest_framework.response import Response
from rest_framework.views import APIView

from bench.contestants.django_drf.authentication import stamp
from bench.contestants.django_drf.models import Article, ArticleTag, Comment, Favorite, Follow, Slug, Tag
from bench.contestants.django_drf.serializers import ArticleSerializer, CommentSerializer, ListedArticleSerializer

_TAGS = Prefetch("article_tags", ArticleTag.objects.select_related("tag").order_by("position"))


def _context(user, articles, authors):
    """What the caller has to do with these articles and authors, in one query each."""
    if user is None:
        return {"liked": set(), "followed": set()}
    liked = Favorite.objects.filter(user_id=user.id, article_id__in=articles) if articles else Favorite.objects.none()
    followed = Follow.objects.filter(follower_id=user.id, followed_id__in=authors)
    return {
        "liked": set(liked.values_list("article_id", flat=True)),
        "followed": set(followed.values_list("followed_id", flat=True)),
    }


class ListArticles(generics.ListAPIView):
    """A listing."""

    serializer_class = ListedArticleSerializer

    def get_queryset(self):
        """The articles that pass the filters."""
        found = Article.objects.select_related("author").prefetch_related(_TAGS).defer("body").order_by("-id")
        asked = self.request.query_params
        if "tag" in asked:
            found = found.filter(id__in=ArticleTag.objects.filter(tag__name=asked["tag"]).values("article_id"))
        if "author" in asked:
            found = found.filter(author__username_key=asked["author"].casefold())
        if "favorited" in asked:
            liked = Favorite.objects.filter(user__username_key=asked["favorited"].casefold())
            found = found.filter(id__in=liked.values("article_id"))
        return found

    def list(self, request, *args, **kwargs):
        """One page of them."""
        page = self.paginate_queryset(self.get_queryset())
        context = _context(request.user, [each.id for each in page], {each.author_id for each in page})
        return self.get_paginated_response(ListedArticleSerializer(page, many=True, context=context).data)


class Feed(ListArticles):
    """Articles by those whom the caller follows."""

    permission_classes = (permissions.IsAuthenticated,)

    def get_queryset(self):
        """All of them."""
        followed = Follow.objects.filter(follower_id=self.request.user.id).values("followed_id")
        return super().get_queryset().filter(author_id__in=followed)


class ReadArticle(generics.RetrieveAPIView):
    """One article."""

    def get(self, request, slug):
        """It, with its body."""
        found = Article.objects.select_related("author").prefetch_related(_TAGS)
        article = generics.get_object_or_404(found, slugs__slug=slug)
        context = _context(request.user, [article.id], {article.author_id})
        return Response({"article": ArticleSerializer(article, context=context).data})


class Comments(generics.ListCreateAPIView):
    """The comments of an article."""

    def get(self, request, slug):
        """The newest of them."""
        found = Comment.objects.filter(article_id=_article_id(slug)).select_related("author").order_by("-id")
        comments = list(found[:1000])
        context = _context(request.user, [], {each.author_id for each in comments})
        return Response({"comments": CommentSerializer(comments, many=True, context=context).data})

    def post(self, request, slug):
        """One more."""
        article_id = _article_id(slug)
        context = _context(request.user, [], {request.user.id})
        sent = CommentSerializer(data=request.data.get("comment"), context=context)
        sent.is_valid(raise_exception=True)
        sent.save(article_id=article_id, author=request.user, created_at=stamp(datetime.now(UTC)))
        return Response({"comment": sent.data}, status=201)


def _article_id(slug):
    found = Slug.objects.filter(slug=slug).values_list("article_id", flat=True).first()
    if found is None:
        raise Http404
    return found


class ListTags(APIView):
    """The tags."""

    def get(self, request):
        """Their names, most used first."""
        used = Tag.objects.filter(articles_count__gt=0).order_by("-articles_count", "-id")
        return Response({"tags": list(used.values_list("name", flat=True)[:1000])})
