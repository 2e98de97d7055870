"""Whatever a client sends, to whatever route: the answer is never a crash, always JSON, and one that is documented."""

import json
import re
from typing import Any
from urllib.parse import quote, urlencode

from hypothesis import given, settings
from hypothesis import strategies as st

import app
from tests.conftest import JSON, Api
from tests.described import require_described

# The same examples in every run: what fails here fails everywhere.
bounded = settings(derandomize=True, database=None, deadline=None, max_examples=250)

ROUTES = [(method, path, options) for method, path, _, options in app.routes()]

# What a path names that stands for nothing.
NOTHING = {"slug": "nothing", "username": "nobody", "id": "1"}

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


@st.composite
def addresses(draw: Any, path: str, options: dict[str, Any], existing: dict[str, str]) -> str:
    """The path of a route with anything in its places, and any query, of names that the route knows among others."""

    def fill(place: "re.Match[str]") -> str:
        return quote(draw(octets) if draw(st.booleans()) else existing[place[1]], safe="")

    known = list(options["query"].model_fields) if "query" in options else ["x"]
    names = st.sampled_from(known).map(str.encode) | octets
    query = st.lists(st.tuples(names, octets), max_size=4).map(urlencode) | raw
    return re.sub("<([a-z]+)>", fill, path) + draw(st.just("") | query.map("?{}".format))


@st.composite
def bodies(draw: Any, options: dict[str, Any]) -> bytes:
    """Anything, or JSON that is more or less what the route takes."""
    if "body" not in options:
        return draw(octets)
    key, model = options["body"]
    fields = [field.alias or name for name, field in model.model_fields.items()]
    nearly = st.fixed_dictionaries({}, optional=dict.fromkeys(fields, texts | values))
    tagged = st.builds(lambda sent, tags: sent | {"tagList": tags}, nearly, st.lists(texts, max_size=4))
    sent = st.builds(lambda inner: {key: inner}, nearly | tagged | values) | values
    return json.dumps(draw(sent)).encode() if draw(st.booleans()) else draw(octets)


def require_calm(me: Api, data: Any, existing: dict[str, str], sent: dict[str, str | None]) -> None:
    """Fail unless the answer to a request is one that is documented: no crash, and JSON or nothing."""
    method, path, options = data.draw(st.sampled_from(ROUTES))
    address, body = data.draw(addresses(path, options, existing)), data.draw(bodies(options))
    sent = me.headers | {name: value for name, value in sent.items() if value is not None}

    answer = me.client.request(me.prefix + address, method=method, body=body, headers=sent, status="*")

    assert answer.status_int < 500
    assert answer.status_int == 204 or answer.json
    require_described(method, address, answer)


def test_strangers_get_a_calm_answer_whatever_they_send(api):
    authorizations = st.none() | raw | raw.map("Token {}".format) | raw.map("Bearer {}".format)
    types = st.none() | st.just("application/json") | raw

    @bounded
    @given(st.data(), authorizations, types)
    def sends(data, authorization, content_type):
        require_calm(api, data, NOTHING, {"Authorization": authorization, "Content-Type": content_type})

    sends()


def test_people_with_a_token_get_a_calm_answer_whatever_they_send(api):
    ann, bob = api.someone("ann"), api.someone("bob")
    slug = bob.writes("Rowing at dawn")
    existing = {"slug": slug, "username": "bob", "id": str(ann.says(slug, "First")["id"])}

    @bounded
    @given(st.data())
    def sends(data):
        require_calm(ann, data, existing, JSON)

    sends()

    assert bob.reads(slug)["title"] == "Rowing at dawn"
