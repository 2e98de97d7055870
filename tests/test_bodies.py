"""Request bodies of every route: which are valid JSON, how large they can be, and their Content-Type."""

import pytest

from tests.conftest import JSON

MIB = 1024 * 1024

# The error of a login without a user: the body was read and parsed.
READ = {"user": "can't be blank"}

# Every route that takes a body.
ROUTES = [
    ("POST", "/users"),
    ("POST", "/users/login"),
    ("PUT", "/user"),
    ("POST", "/articles"),
    ("PUT", "/articles/nothing"),
    ("POST", "/articles/nothing/comments"),
]


def nested(depth: int) -> bytes:
    """An object with nested arrays, `depth` levels in all."""
    return b'{"x": ' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


# No JSON.
INVALID = [b"", b" \n", b'{"user": {', b'{"user": {}} {}', b"email=ann&password=secret", b'{"user": {},}']
INVALID += [b"{'user': {}}", b'{"user": {} /* none */}', b'{"x": "\x01"}', b'{"x": "\x00"}', b'\xef\xbb\xbf{"x": 1}']
INVALID += [b'{"x": NaN}', b'{"x": Infinity}', b'{"x": -Infinity}', b'{"x": ' + b"9" * 5000 + b"}"]
# JSON, but not an object.
INVALID += [b"[]", b'"user"', b"1", b"true", b"null"]
# No UTF-8: wrong, cut off, overlong and surrogate bytes, and other encodings.
INVALID += [b'{"x": "\xff"}', b'{"x": "\xc3"}', b'{"x": "\xc0\xaf"}', b'{"x": "\xed\xa0\x80"}']
INVALID += ['{"x": "é"}'.encode("latin-1"), '{"x": "é"}'.encode("utf-16")]
# Lone surrogates.
INVALID += [rb'{"x": "\ud800"}', rb'{"x": "\udc00"}', rb'{"x": "\udc00\ud800"}', rb'{"\ud800": 1}']
INVALID += [rb'{"user": {"email": "\ud800", "password": "secret"}}']
# Nested too deep: 101 levels, 20,000 levels of arrays and of objects, and 20,000 that are never closed.
INVALID += [nested(101), nested(20_000), b'{"x": ' * 20_000 + b"1" + b"}" * 20_000, b"[" * 20_000]


def test_invalid_json_is_refused(api):
    for raw in INVALID:
        errors = api.refusal(400, "POST", "/users/login", raw=raw, headers=JSON)
        assert errors.keys() == {"body"}, raw[:80]


UNUSUAL = [b"{}", b' \r\n\t{"x": 1}\n', b'{"x": 1}'.ljust(MIB), nested(100), rb'{"x": "\ud83d\udea3"}']
UNUSUAL += [b'{"x": 123456789012345678901234567890}', b'{"x": -123456789012345678901234567890}', b'{"x": 1e999}']
UNUSUAL += [b'{"x": ' + b"9" * 4000 + b"}", rb'{"x\u0000": "\u0000"}']
UNUSUAL += [b'{"user": null}', b'{"user": "text"}', b'{"user": 1}', b'{"user": [{}]}']


def test_unusual_but_valid_json_is_accepted(api):
    for raw in UNUSUAL:
        assert api.refusal(422, "POST", "/users/login", raw=raw, headers=JSON) == READ, raw[:80]


def test_a_body_one_byte_over_1_mib_is_too_large(api):
    errors = api.refusal(413, "POST", "/users/login", raw=b'{"x": 1}'.ljust(MIB + 1), headers=JSON)

    assert errors == {"body": "is too large (maximum is 1048576 bytes)"}


def test_an_article_of_500_kb_is_returned_as_sent(api):
    ann = api.someone("ann")
    text = 'Row, row, row your boat — gently down the stream 🚣\n\t"\\/\r\n' * 9000

    slug = ann.writes("Long", body=text)

    assert len(text.encode()) > 500_000
    assert ann.reads(slug)["body"] == text


def test_if_a_key_appears_twice_the_last_value_wins(api):
    ann = api.someone("ann")
    raw = b"""{"article": {"title": "Neither"}, "article": {
        "title": "First", "description": "About it", "body": "The text", "title": "Last"}}"""

    article = ann.post("/articles", raw=raw, headers=JSON).json["article"]

    assert article["title"] == "Last"
    assert ann.titles() == ["Last"]


def test_an_empty_update_is_refused(api):
    ann = api.someone("ann")

    for path, key in ("/user", "user"), ("/articles/nothing", "article"):
        assert ann.refusal(422, "PUT", path, {key: {}}) == {key: "can't be blank"}
        assert ann.refusal(422, "PUT", path, {key: {"colour": "red", "id": 7}}) == {key: "can't be blank"}


NOT_JSON = ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonp", "application/problem+json"]
NOT_JSON += [
    "text/json",
    "application/json, text/plain",
    "application/json; charset=",
    "application/json; charset=utf-16",
]
NOT_JSON += ["application/json; charset=latin-1", 'application/json; charset="iso-8859-1"']
NOT_JSON += ["application/json; charset=utf-8; charset=latin-1"]
JSON_TYPES = ["application/json", "Application/JSON", "application/json;charset=utf-8", "application/json; version=2"]
JSON_TYPES += [
    "application/json; charset=UTF-8",
    'application/json; charset="utf-8"',
    'application/json ; CHARSET="Utf-8"',
]


def test_a_content_type_other_than_json_in_utf_8_is_refused(api):
    for headers in [{}, *({"Content-Type": each} for each in NOT_JSON)]:
        errors = api.refusal(415, "POST", "/users/login", raw=b"{}", headers=headers)
        assert errors == {"body": "must be sent as Content-Type: application/json, in UTF-8"}


def test_every_spelling_of_json_in_utf_8_is_accepted(api):
    for each in JSON_TYPES:
        assert api.refusal(422, "POST", "/users/login", raw=b"{}", headers={"Content-Type": each}) == READ


def test_a_content_encoding_is_refused(api):
    for encoding in ("gzip", "br", "identity, gzip"):
        errors = api.refusal(415, "POST", "/users/login", raw=b"{}", headers=JSON | {"Content-Encoding": encoding})
        assert errors == {"body": "must be sent without a Content-Encoding"}
    plain = JSON | {"Content-Encoding": "identity"}
    assert api.refusal(422, "POST", "/users/login", raw=b"{}", headers=plain) == READ


def test_every_route_with_a_body_checks_json_size_and_content_type(api):
    ann = api.someone("ann")

    for method, path in ROUTES:
        assert ann.refusal(400, method, path, raw=b"", headers=JSON).keys() == {"body"}
        assert ann.refusal(413, method, path, raw=b" " * (MIB + 1), headers=JSON).keys() == {"body"}
        assert ann.refusal(415, method, path, raw=b"{}").keys() == {"body"}


@pytest.mark.parametrize("raw", [b"\xff", b'{"article": ', b" " * (MIB + 1)], ids=["not text", "not JSON", "too large"])
def test_routes_without_a_body_ignore_one_and_its_content_type(api, raw):
    ann, bob = api.someone("ann"), api.someone("bob")
    slug = ann.writes("Rowing at dawn")
    said = bob.says(slug, "Well said")["id"]
    sent = {"raw": raw, "headers": {"Content-Type": "image/png; charset=latin-1", "Content-Encoding": "gzip"}}

    for path in "/tags", "/articles", "/articles/feed", f"/articles/{slug}", f"/articles/{slug}/comments", "/user":
        assert bob.get(path, **sent).text == bob.get(path).text
    assert bob.post(f"/articles/{slug}/favorite", **sent).json["article"]["favorited"] is True
    assert bob.delete(f"/articles/{slug}/favorite", **sent).json["article"]["favorited"] is False
    assert bob.post("/profiles/ann/follow", **sent).json["profile"]["following"] is True
    assert bob.delete("/profiles/ann/follow", **sent).json["profile"]["following"] is False
    bob.delete(f"/articles/{slug}/comments/{said}", status=204, **sent)
    ann.delete(f"/articles/{slug}", status=204, **sent)
    assert ann.titles() == []
