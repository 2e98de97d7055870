"""The slow requests: which they are, and what they are answered when too many wait."""

import inspect

import pytest
from waitress.adjustments import Adjustments

import app
import framing
import worker
from handlers import slow_requests

SLOW = slow_requests(app.routes())


def hashes(handler) -> bool:
    """Whether a handler, or a function of handlers/ that it calls, hashes a password or verifies one."""
    functions = [handler]
    for function in functions:  # grows: each adds those that it calls
        called = [function.__globals__.get(name) for name in function.__code__.co_names]
        functions += [each for each in called if inspect.isfunction(each) and each not in functions]
    return bool({"hash_password", "verify_password"} & {function.__name__ for function in functions})


def test_the_routes_that_hash_passwords_are_slow_and_no_others():
    rows = list(app.routes())

    slow = {(method, path) for method, path, _, options in rows if options.get("slow")}

    assert slow == {(method, path) for method, path, handler, _ in rows if hashes(handler)}
    assert ("POST", "/users/login") in slow


@pytest.mark.parametrize("prefix", ["/api", "/api/v1", "/api/v2"])
def test_a_slow_request_is_known_by_method_and_path(prefix):
    assert SLOW.fullmatch(f"POST {prefix}/users/login")
    assert SLOW.fullmatch(f"PUT {prefix}/user")
    assert not SLOW.fullmatch(f"GET {prefix}/user")


@pytest.mark.parametrize(
    "request_line",
    [
        "POST /api/profiles/userfriendly/follow",
        "POST /api/profiles/user/follow",
        "DELETE /api/articles/user",
        "PUT /api/articles/user",
        "POST /api/articles/users/favorite",
        "POST /api/articles/users\n/comments",
        "POST /api/users/login/more",
        "POST /users/login",
    ],
)
def test_what_is_only_named_like_one_is_not_slow(request_line):
    assert not SLOW.fullmatch(request_line)


@pytest.mark.parametrize(("length", "slow"), [(65_535, False), (65_536, True)])
def test_a_request_with_a_large_body_is_slow_on_every_route(length, slow):
    server = object.__new__(worker._Server)
    server._slow = SLOW
    request = framing.Parser(Adjustments())
    request.received(b"POST /api/articles HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % length)
    request.received(b" " * length)

    assert server._is_slow(request) is slow


def test_a_slow_route_may_have_parameters_and_any_method():
    slow = slow_requests([("GET", "/a.b/<name>/<path:path>", None, {"slow": True}), ("PUT", "/c", None, {})])

    assert slow.fullmatch("GET /api/a.b/x/y/z\n")
    assert slow.fullmatch("HEAD /api/a.b/x/y")
    assert not slow.fullmatch("GET /api/a-b/x/y")
    assert not slow.fullmatch("PUT /api/c")
    assert not slow_requests([]).fullmatch("PUT /api/c")


def test_a_refused_request_is_told_when_to_come_again_and_does_nothing(api, argon2):
    user = {"user": {"username": "ann", "email": "ann@example.org", "password": "correct horse"}}
    api.client.extra_environ["rowboat.is_refused"] = True

    for path in "/users", "/users/login":
        answer = api.post(path, user, status=503, headers={"Origin": "https://pages.example.org"})

        assert answer.json == {"errors": {"server": ["is busy; try again in 5 seconds"]}}
        assert answer.headers["Retry-After"] == "5"
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert argon2.calls == []


def test_how_long_a_password_took_is_not_said():
    assert [row[:2] for row in app.routes() if row[3].get("slow") and not row[3].get("secret")] == []
