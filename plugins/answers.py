"""What a handler returns, as a response: JSON text with the route's status, or nothing."""

from collections.abc import Callable
from typing import Any

from bottle import Route, response

from plugins.errors import JSON


class AnswersPlugin:
    """Sets the content type, and the status that the route's options name (200 without)."""

    name = "answers"
    api = 2

    def apply(self, callback: Callable[..., Any], route: Route) -> Callable[..., Any]:
        """Surround every route."""
        status = route.config.get("status", 200)
        secret = route.config.get("secret", False)

        def answer(**arguments: Any) -> Any:
            body = callback(**arguments)
            response.status = status
            response.content_type = JSON
            if secret:
                response.set_header("Cache-Control", "no-store")
            return body

        return answer
