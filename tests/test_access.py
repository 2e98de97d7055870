"""Who may do what: every route, called by everybody."""

import pytest

import app
from tests.conftest import PASSWORD

ANONYMOUS, OWNER, OTHER = "anonymous", "owner", "other member"
CALLERS = [ANONYMOUS, OWNER, OTHER]

# The status that each caller gets. What a path names is the owner's: ann's article "dawn", her comment on it, the
# session of her phone. The bodies are good ones.
MATRIX = {
    #                                              anonymous, owner, other member
    ("POST", "/users"): (201, 201, 201),
    ("POST", "/users/login"): (200, 200, 200),
    ("GET", "/user"): (401, 200, 200),
    ("PUT", "/user"): (401, 200, 200),
    ("GET", "/user/sessions"): (401, 200, 200),
    ("DELETE", "/user/sessions"): (401, 204, 204),
    ("DELETE", "/user/sessions/current"): (401, 204, 204),
    ("DELETE", "/user/sessions/<id>"): (401, 204, 404),
    ("GET", "/profiles/<username>"): (200, 200, 200),
    ("POST", "/profiles/<username>/follow"): (401, 200, 200),
    ("DELETE", "/profiles/<username>/follow"): (401, 200, 200),
    ("GET", "/articles"): (200, 200, 200),
    ("GET", "/articles/feed"): (401, 200, 200),
    ("POST", "/articles"): (401, 201, 201),
    ("GET", "/articles/<slug>"): (200, 200, 200),
    ("PUT", "/articles/<slug>"): (401, 200, 403),
    ("DELETE", "/articles/<slug>"): (401, 204, 403),
    ("POST", "/articles/<slug>/favorite"): (401, 200, 200),
    ("DELETE", "/articles/<slug>/favorite"): (401, 200, 200),
    ("GET", "/articles/<slug>/comments"): (200, 200, 200),
    ("POST", "/articles/<slug>/comments"): (401, 201, 201),
    ("DELETE", "/articles/<slug>/comments/<id>"): (401, 204, 403),
    ("GET", "/tags"): (200, 200, 200),
}

BODIES = {
    ("POST", "/users"): {"user": {"username": "eve", "email": "eve@example.org", "password": PASSWORD}},
    ("POST", "/users/login"): {"user": {"email": "ann@example.org", "password": PASSWORD}},
    ("PUT", "/user"): {"user": {"bio": "Rows at dawn"}},
    ("POST", "/articles"): {"article": {"title": "Dusk", "description": "About it", "body": "The text"}},
    ("PUT", "/articles/<slug>"): {"article": {"body": "Another text"}},
    ("POST", "/articles/<slug>/comments"): {"comment": {"body": "Well said"}},
}


@pytest.fixture
def callers(api, cheap_hashes):
    """Everybody who calls, by name, and what the parts of a path stand for."""
    ann, bob = api.someone("ann"), api.someone("bob")
    api.logs_in(ann.email)
    slug = ann.writes("Dawn")
    comment = ann.says(slug, "It was")["id"]
    return {ANONYMOUS: api, OWNER: ann, OTHER: bob}, {"username": "ann", "slug": slug, "comment": comment, "session": 3}


def test_the_matrix_has_every_route_and_no_other():
    assert [(method, path) for method, path, _, _ in app.routes()] == list(MATRIX)


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize(("method", "path"), MATRIX)
def test_every_caller_gets_what_the_matrix_says(callers, method, path, caller):
    clients, names = callers
    names["id"] = names["session" if "sessions" in path else "comment"]
    filled = path
    for name, value in names.items():
        filled = filled.replace(f"<{name}>", str(value))

    clients[caller].call(method, filled, BODIES.get((method, path)), status=MATRIX[method, path][CALLERS.index(caller)])
