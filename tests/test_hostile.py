"""Whatever a client sends, to whatever route: the answer is never a crash, always JSON, and one that is documented."""

import json
import re
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import app
from tests.conftest import JSON
from tests.described import require_described

ROUTES = [(method, path, options) for method, path, _, options in app.routes()]

# What has broken programs before, beside what chance finds.
PECULIAR = ["", " ", "\0", "\n", "a\n", "%", "/", "\\", "..", "feed", "'", '"', "--", "\ud7ff", "\ufeff", "ﷺ", "İ", "٣"]
NUMBERS = [0, 1, -1, 1.5, 2**31, 2**63 - 1, 2**63, -(2**63) - 1, 10**400, 1e308]

texts = st.sampled_from(PECULIAR) | st.sampled_from(NUMBERS).map(str) | st.text(max_size=80)
octets = texts.map(str.encode) | st.binary(max_size=40)
values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(NUMBERS) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=8,
)
# Bytes as WSGI passes them on; a server lets no line end through.
raw = octets.map(lambda sent: re.sub(r"[\r\n\0]", "", sent.decode("latin-1")))


def as_json(value: Any) -> bytes:
    """The value as a body."""
    return json.dumps(value).encode()


@st.composite
def addresses(draw: Any, path: str, options: dict[str, Any], existing: dict[str, str]) -> str:
    """The path of a route with anything in its places, and any query, of names that the route knows among others."""

    def fill(place: "re.Match[str]") -> str:
        return quote(draw(octets) if draw(st.booleans()) else existing[place[1]], safe="")

    known = list(options["query"].model_fields) if "query" in options else ["x"]
    names = st.sampled_from(known).map(str.encode) | octets
    query = st.lists(st.tuples(names, octets), max_size=4).map(urlencode) | raw
    return re.sub("<([a-z]+)>", fill, path) + draw(st.just("") | query.map("?{}".format))


def bodies(options: dict[str, Any]) -> st.SearchStrategy[bytes]:
    """Anything, or JSON that is more or less what the route takes."""
    if "body" not in options:
        return octets
    key, model = options["body"]

    def under_key(value: Any) -> bytes:
        return as_json({key: value})

    fields = [field.alias or name for name, field in model.model_fields.items()]
    nearly = st.fixed_dictionaries({}, optional=dict.fromkeys(fields, texts | values))
    tagged = st.builds(lambda sent, tags: sent | {"tagList": tags}, nearly, st.lists(texts, max_size=4))
    return octets.map(bytes) | values.map(as_json) | (values | nearly).map(under_key) | tagged.map(under_key)


@st.composite
def headers(draw: Any, me: dict[str, str]) -> dict[str, str]:
    """A good token and type, or anything in their place."""
    if draw(st.booleans()):
        return me | JSON
    authorization = draw(st.none() | raw | raw.map("Token {}".format) | raw.map("Bearer {}".format))
    sent = {"Authorization": authorization, "Content-Type": draw(st.none() | st.just("application/json") | raw)}
    return {name: value for name, value in sent.items() if value is not None}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route[0]} {route[1]}")
@pytest.mark.parametrize("examples", [20, pytest.param(400, marks=pytest.mark.slow)])
def test_the_answer_is_calm_whatever_is_sent(api, route, examples):
    method, path, options = route
    ann = api.someone("ann")
    slug = ann.writes("Rowing at dawn")
    existing = {"slug": slug, "username": "ann", "id": str(ann.says(slug, "First")["id"])}

    # The same examples in every run: what fails here fails everywhere.
    @settings(derandomize=True, database=None, deadline=None, max_examples=examples)
    @given(addresses(path, options, existing), bodies(options), headers(ann.headers))
    def send(address, body, sent):
        answer = api.client.request(api.prefix + address, method=method, body=body, headers=sent, status="*")

        assert answer.status_int < 500
        if answer.status_int in (202, 204):
            assert answer.body == b""
        else:
            assert answer.json
        require_described(method, address, answer)

    send()
