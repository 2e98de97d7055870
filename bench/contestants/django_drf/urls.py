# mypy: ignore-errors
"""Where the routes stand."""

from django.urls import path

from bench.contestants.django_drf import views

urlpatterns = [
    path("api/articles", views.ListArticles.as_view()),
    path("api/articles/feed", views.Feed.as_view()),
    path("api/articles/<str:slug>", views.ReadArticle.as_view()),
    path("api/articles/<str:slug>/comments", views.Comments.as_view()),
    path("api/tags", views.ListTags.as_view()),
]
