"""Bodies, whatever they are for: which can be read, how large they may be, what they must say they are."""

import pytest

from tests.conftest import JSON

MIB = 1024 * 1024

# What a login answers to a body without a user: it was read to its end.
READ = {"user": "can't be blank"}

# The texts of every body, by route and by the key under which they stand.
TEXTS = {
    ("POST", "/users", "user"): ["username", "email", "password"],
    ("POST", "/users/login", "user"): ["email", "password"],
    ("PUT", "/user", "user"): ["username", "email", "password", "bio", "image"],
    ("POST", "/articles", "article"): ["title", "description", "body"],
    ("PUT", "/articles/nothing", "article"): ["title", "description", "body"],
    ("POST", "/articles/nothing/comments", "comment"): ["body"],
}


def nested(depth: int) -> bytes:
    """An object that holds arrays in arrays, so many levels deep in all."""
    return b'{"x": ' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


@pytest.mark.parametrize(
    "raw",
    {
        "nothing": b"",
        "blanks": b" \n",
        "cut off": b'{"user": {',
        "more than one": b'{"user": {}} {}',
        "a form": b"email=ann&password=secret",
        "a comma too many": b'{"user": {},}',
        "single quotes": b"{'user': {}}",
        "a comment": b'{"user": {} /* none */}',
        "array": b"[]",
        "text": b'"user"',
        "number": b"1",
        "true": b"true",
        "null": b"null",
        "NaN": b'{"x": NaN}',
        "Infinity": b'{"x": Infinity}',
        "-Infinity": b'{"x": -Infinity}',
        "invalid UTF-8": b'{"x": "\xff"}',
        "UTF-8 cut off": b'{"x": "\xc3"}',
        "overlong UTF-8": b'{"x": "\xc0\xaf"}',
        "surrogate in UTF-8": b'{"x": "\xed\xa0\x80"}',
        "Latin-1": '{"x": "é"}'.encode("latin-1"),
        "UTF-16": '{"x": "é"}'.encode("utf-16"),
        "BOM": b'\xef\xbb\xbf{"x": 1}',
        "lone high surrogate": rb'{"x": "\ud800"}',
        "lone low surrogate": rb'{"x": "\udc00"}',
        "surrogates the wrong way round": rb'{"x": "\udc00\ud800"}',
        "lone surrogate in a key": rb'{"\ud800": 1}',
        "lone surrogate where it counts": rb'{"user": {"email": "\ud800", "password": "secret"}}',
        "raw control character": b'{"x": "\x01"}',
        "raw NUL": b'{"x": "\x00"}',
        "101 levels": nested(101),
        "20,000 levels": nested(20_000),
        "20,000 objects": b'{"x": ' * 20_000 + b"1" + b"}" * 20_000,
        "20,000 levels never closed": b"[" * 20_000,
        "5,000 digits": b'{"x": ' + b"9" * 5000 + b"}",
    }.items(),
    ids=lambda case: case[0],
)
def test_a_body_that_cannot_be_read_is_refused(api, raw):
    errors = api.refusal(400, "POST", "/users/login", raw=raw[1], headers=JSON)

    assert errors.keys() == {"body"}


@pytest.mark.parametrize(
    "raw",
    {
        "empty object": b"{}",
        "blanks around": b' \r\n\t{"x": 1}\n',
        "100 levels": nested(100),
        "surrogate pair": rb'{"x": "\ud83d\udea3"}',
        "integer beyond 64 bits": b'{"x": 123456789012345678901234567890}',
        "negative beyond 64 bits": b'{"x": -123456789012345678901234567890}',
        "4,000 digits": b'{"x": ' + b"9" * 4000 + b"}",
        "beyond a float": b'{"x": 1e999}',
        "NUL in what is ignored": rb'{"x\u0000": "\u0000"}',
        "exactly 1 MiB": b'{"x": 1}'.ljust(MIB),
    }.items(),
    ids=lambda case: case[0],
)
def test_a_body_that_is_odd_but_json_is_read(api, raw):
    assert api.refusal(422, "POST", "/users/login", raw=raw[1], headers=JSON) == READ


def test_a_body_one_byte_over_1_mib_is_too_large(api):
    errors = api.refusal(413, "POST", "/users/login", raw=b'{"x": 1}'.ljust(MIB + 1), headers=JSON)

    assert errors == {"body": "is too large (maximum is 1048576 bytes)"}


def test_an_article_of_500_kb_comes_back_as_it_was_sent(api):
    ann = api.someone("ann")
    text = 'Row, row, row your boat — gently down the stream 🚣\n\t"\\/\r\n' * 9000

    slug = ann.writes("Long", body=text)

    assert len(text.encode()) > 500_000
    assert ann.reads(slug)["body"] == text


def test_a_text_that_is_none_is_a_wrong_field(api):
    ann = api.someone("ann")

    for value in 123456789012345678901234567890, 2**64, -(2**63) - 1, 1.5, True, [], {}, ["text"], {"a": "text"}:
        article = {"title": value, "description": "About it", "body": "The text"}
        assert ann.refusal(422, "POST", "/articles", {"article": article}) == {"title": "must be a string"}
    assert ann.titles() == []


def test_nul_is_refused_in_every_text(api):
    ann = api.someone("ann")

    for (method, path, key), fields in TEXTS.items():
        errors = ann.refusal(422, method, path, {key: dict.fromkeys(fields, "ann\0@example.org")})
        assert errors == dict.fromkeys(fields, "must not contain NUL")


def test_nul_is_refused_in_a_tag(api):
    ann = api.someone("ann")
    article = {"title": "Dawn", "description": "About it", "body": "The text", "tagList": ["boats", "row\0ing"]}

    assert ann.refusal(422, "POST", "/articles", {"article": article}) == {"tagList": "must not contain NUL"}


def test_of_a_key_that_appears_twice_the_last_one_counts(api):
    ann = api.someone("ann")
    raw = b"""{"article": {"title": "Neither"}, "article": {
        "title": "First", "description": "About it", "body": "The text", "title": "Last"}}"""

    article = ann.post("/articles", raw=raw, headers=JSON).json["article"]

    assert article["title"] == "Last"
    assert ann.titles() == ["Last"]


def test_a_body_without_the_object_that_a_route_asks_for_is_blank(api):
    ann = api.someone("ann")

    for method, path, key in TEXTS:
        for body in {}, {"other": {}}, {key: None}, {key: "text"}, {key: 1}, {key: []}, {key: [{}]}, {key.title(): {}}:
            assert ann.refusal(422, method, path, body) == {key: "can't be blank"}


def test_a_change_of_nothing_is_blank(api):
    ann = api.someone("ann")

    for path, key in ("/user", "user"), ("/articles/nothing", "article"):
        assert ann.refusal(422, "PUT", path, {key: {}}) == {key: "can't be blank"}
        assert ann.refusal(422, "PUT", path, {key: {"colour": "red", "id": 7}}) == {key: "can't be blank"}


def test_what_a_route_does_not_ask_for_is_ignored_and_not_stored(api):
    ann, bob = api.someone("ann"), api.someone("bob")
    more = {"slug": "mine", "favoritesCount": 9, "author": {"username": bob.name}, "createdAt": "2001-01-01T00:00:00Z"}

    slug = ann.writes("Rowing at dawn", id=77, author_id=2, **more)
    ann.changes(bio="I row.", token="mine", following=True, id=2, password_hash="x")

    article = ann.reads(slug)
    assert slug.startswith("rowing-at-dawn-")
    assert article["favoritesCount"] == 0
    assert article["author"] == {"username": "ann", "bio": "I row.", "image": None, "following": False}
    assert not article["createdAt"].startswith("2001")
    assert article.keys() == bob.reads(bob.writes("Plain")).keys()
    assert ann.me() == {"username": "ann", "email": ann.email, "bio": "I row.", "image": None, "token": ann.token}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": ""},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/jsonp"},
        {"Content-Type": "application/problem+json"},
        {"Content-Type": "text/json"},
        {"Content-Type": "application/json, text/plain"},
        {"Content-Type": "application/json; charset=latin-1"},
        {"Content-Type": "application/json; charset=utf-16"},
        {"Content-Type": 'application/json; charset="iso-8859-1"'},
        {"Content-Type": "application/json; charset="},
        {"Content-Type": "application/json; charset=utf-8; charset=latin-1"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
        {"Content-Type": "application/json", "Content-Encoding": "br"},
        {"Content-Type": "application/json", "Content-Encoding": "identity, gzip"},
    ],
    ids=lambda headers: "; ".join(headers.values()) or "missing",
)
def test_a_body_that_does_not_say_it_is_json_in_utf_8_is_refused(api, headers):
    errors = api.refusal(415, "POST", "/users/login", raw=b"{}", headers=headers)

    assert errors.keys() == {"body"}


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "application/json"},
        {"Content-Type": "Application/JSON"},
        {"Content-Type": "application/json;charset=utf-8"},
        {"Content-Type": "application/json; charset=UTF-8"},
        {"Content-Type": 'application/json; charset="utf-8"'},
        {"Content-Type": 'application/json ; CHARSET="Utf-8"'},
        {"Content-Type": "application/json; version=2"},
        {"Content-Type": "application/json", "Content-Encoding": "identity"},
    ],
    ids=lambda headers: "; ".join(headers.values()),
)
def test_a_body_that_says_it_is_json_in_utf_8_is_read_however_it_says_so(api, headers):
    assert api.refusal(422, "POST", "/users/login", raw=b"{}", headers=headers) == READ


def test_every_route_that_takes_a_body_reads_it_with_the_same_care(api):
    ann = api.someone("ann")

    for method, path, _ in TEXTS:
        assert ann.refusal(400, method, path, raw=b"", headers=JSON).keys() == {"body"}
        assert ann.refusal(413, method, path, raw=b" " * (MIB + 1), headers=JSON).keys() == {"body"}
        assert ann.refusal(415, method, path, raw=b"{}").keys() == {"body"}


@pytest.mark.parametrize("raw", [b"\xff", b'{"article": ', b" " * (MIB + 1)], ids=["not text", "not JSON", "too large"])
def test_routes_without_a_body_ignore_one_and_its_type(api, raw):
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
