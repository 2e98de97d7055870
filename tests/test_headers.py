"""Headers of every response: the request id, security headers, WWW-Authenticate."""

import re

# One request for each kind of response, those included that no handler makes.
REQUESTS = [
    ("GET", "/tags", 200),
    ("HEAD", "/tags", 200),
    ("GET", "/articles/%FF", 400),
    ("GET", "/user", 401),
    ("GET", "/articles/nothing", 404),
    ("GET", "/nothing", 404),
    ("PATCH", "/user", 405),
    ("POST", "/users/login", 415),
    ("GET", "/articles?limit=0", 422),
]

PREFLIGHT = {"Origin": "https://example.org", "Access-Control-Request-Method": "PUT"}


def responses(api, **headers):
    """A response of each kind, those from the cache and to a preflight included."""
    for method, path, status in REQUESTS:
        yield api.call(method, path, status=status, headers=headers)
    etag = api.get("/articles").headers["ETag"]
    yield api.get("/articles", headers=headers)
    yield api.get("/articles", status=304, headers=headers | {"If-None-Match": etag})
    yield api.client.options("/api/tags", headers=headers | PREFLIGHT)


def test_every_response_has_the_id_of_its_request(api):
    made = [response.headers["X-Request-Id"] for response in responses(api)]
    taken = [response.headers["X-Request-Id"] for response in responses(api, **{"X-Request-Id": "from-the-proxy_7.a"})]

    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in made)
    assert taken == ["from-the-proxy_7.a"] * len(made)
    assert len({*made}) == len(made)


def test_an_invalid_request_id_is_replaced(api):
    invalid = ["", " ", "a b", "a\tb", "a;b", "a,b", "a/b", "é", "<b>", '"a"', "a\x7f", "%0d%0aX: y", "a, b", "a" * 65]

    for sent in invalid:
        request_id = api.get("/tags", headers={"X-Request-Id": sent}).headers["X-Request-Id"]
        assert re.fullmatch("[0-9a-f]{32}", request_id), f"{sent!r} was taken over"


def test_a_valid_request_id_is_kept(api):
    for sent in "a", "A-Z_0.9", "a" * 64, "3f2504e0-4f89-11d3-9a0c-0305e82c3301":
        assert api.get("/tags", headers={"X-Request-Id": sent}).headers["X-Request-Id"] == sent


def test_every_response_forbids_browsers_to_run_or_frame_it(api):
    for response in responses(api):
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert response.headers["Referrer-Policy"] == "no-referrer"


def test_a_401_names_the_authentication_scheme(api):
    api.someone("ann")
    user = {"email": "ann@example.org", "password": "wrong horse"}
    ann = api.logs_in("ann@example.org")
    ann.delete("/user/sessions/current")

    refused = [
        api.call("GET", "/user", status=401),
        ann.call("GET", "/user", status=401),
        api.call("POST", "/users/login", {"user": user}, status=401),
    ]

    assert [response.headers["WWW-Authenticate"] for response in refused] == ["Token"] * 3
    assert "WWW-Authenticate" not in api.get("/tags").headers
