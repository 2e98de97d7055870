# mypy: ignore-errors
"""Pages of listings."""

from rest_framework import pagination
from rest_framework.response import Response


class Page(pagination.LimitOffsetPagination):
    """Pages in the API's form."""

    default_limit = 20
    max_limit = 100

    def get_paginated_response(self, data):
        """A page, and the total."""
        return Response({"articles": data, "articlesCount": self.count})
