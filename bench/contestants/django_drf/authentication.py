# mypy: ignore-errors
"""Who is calling."""

from datetime import UTC, datetime, timedelta
from hashlib import sha256

from rest_framework import authentication, exceptions

from bench.contestants.django_drf.models import Session


def stamp(moment: datetime) -> str:
    """A moment as the database has it."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class TokenAuthentication(authentication.BaseAuthentication):
    """Tokens as Rowboat stores them."""

    def authenticate(self, request):
        """The user of the header, if there is one."""
        header = request.META.get("HTTP_AUTHORIZATION")
        if header is None:
            return None
        token_hash = sha256(header.partition(" ")[2].encode()).hexdigest()
        since = stamp(datetime.now(UTC) - timedelta(days=30))
        session = Session.objects.select_related("user").filter(token_hash=token_hash, last_used_at__gt=since).first()
        if session is None:
            raise exceptions.AuthenticationFailed
        return session.user, session

    def authenticate_header(self, request):
        """What a 401 asks for."""
        return "Token"
