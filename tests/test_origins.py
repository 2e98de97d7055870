"""The origins that may call, as the settings name them, and what their preflights may ask for."""

import pytest
from webtest import TestApp

import app
from config import Config, ConfigError

PAGE = "https://pages.example.org"


def configured(value):
    return Config.from_environment({"ROWBOAT_CORS_ORIGINS": value}).cors_origins


def preflight(db, asked, origin=PAGE, allowed=PAGE):
    client = TestApp(app.make_app(Config(cors_origins=(allowed,)), db))
    headers = {"Origin": origin, "Access-Control-Request-Method": "PUT"}
    if asked is not None:
        headers["Access-Control-Request-Headers"] = asked
    return client.options("/api/user", headers=headers, status=204).headers


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("HTTPS://Example.ORG", "https://example.org"),
        ("https://example.org:443", "https://example.org"),
        ("https://example.org:0443", "https://example.org"),
        ("http://example.org:80", "http://example.org"),
        ("http://example.org:443", "http://example.org:443"),
        ("https://example.org:8443", "https://example.org:8443"),
        ("http://localhost:5173", "http://localhost:5173"),
        ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
        ("http://[2001:DB8:0::1]:3000", "http://[2001:db8::1]:3000"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
        ("*", "*"),
    ],
)
def test_an_origin_is_normalized_to_what_browsers_send(written, sent):
    assert configured(written) == (sent,)


def test_several_are_separated_by_blanks():
    assert configured(" https://a.example\n\thttps://b.example  ") == ("https://a.example", "https://b.example")
    assert configured("") == ()


@pytest.mark.parametrize(
    "value",
    [
        "https://a.example,https://b.example", "https://a.example, https://b.example", "https://example.org/",
        "https://example.org/app", "https://example.org?x", "https://example.org#x", "https://*.example.org",
        "https://example.*", "*.example.org", "**", "https://", "https://:443", "https://me@example.org", "null",
        "example.org", "//example.org", "https:example.org", "https://example.org:", "https://example.org:https",
        "https://example.org:65536", "https://example..org", "https://.example.org", "https://bücher.example",
        "https://[2001:db8::1", "https://[::g]", "https://127.1", "https://300.0.0.1", "https://0x7f000001",
        "file:///", "'https://example.org'", "https://example.org;", "https://exam\u212aple.org", "h ttps://example.org",
    ],
)  # fmt: skip
def test_what_no_browser_sends_is_refused_at_start(value):
    with pytest.raises(ConfigError, match=r"^ROWBOAT_CORS_ORIGINS is .* must be \* or origins such as https://"):
        configured(value)


@pytest.mark.parametrize(
    "asked", ["traceparent", "sentry-trace, baggage,authorization", "X-A" + "a" * 1000, "a , b,,c"]
)
def test_a_preflight_of_an_allowed_origin_may_ask_for_any_header(db, asked):
    headers = preflight(db, asked)

    names = [name.strip() for name in asked.split(",") if name.strip()]
    assert headers["Access-Control-Allow-Headers"] == ", ".join(names)
    assert headers["Vary"] == "Authorization, Origin, Access-Control-Request-Headers"


@pytest.mark.parametrize("asked", [None, "", "a b", "a: b", "é", "a;q=1", "(x)", "x" * 1025, ", ".join(["abc"] * 300)])
def test_what_is_no_list_of_names_or_too_long_gets_our_own_list(db, asked):
    headers = preflight(db, asked)

    assert "Content-Type" in headers["Access-Control-Allow-Headers"].split(", ")
    assert len(headers["Access-Control-Allow-Headers"]) < 200


def test_other_origins_are_allowed_nothing(db):
    headers = preflight(db, "traceparent", origin="https://other.example.org")

    assert not [name for name in headers if name.startswith("Access-Control-")]


def test_any_origin_gets_the_same_where_all_are_allowed(db):
    headers = preflight(db, "traceparent", origin="null", allowed="*")

    assert headers["Access-Control-Allow-Origin"] == "*"
    assert headers["Access-Control-Allow-Headers"] == "traceparent"


def test_no_error_may_be_stored(api, db):
    ann = api.someone("ann")
    cases = [
        api.get("/articles/%FF", status=400), api.get("/user", status=401), api.get("/nothing", status=404),
        api.get("/articles/nothing", status=404), api.call("PATCH", "/user", status=405),
        api.post("/users/login", status=415), api.get("/articles?limit=x", status=422),
        ann.get("/admin/users", status=403), ann.put("/user", {"user": {}}, status=422),
    ]  # fmt: skip

    for response in cases:
        assert response.headers.getall("Cache-Control") == ["no-store"]
    assert api.get("/tags").headers["Cache-Control"] == "no-cache"
