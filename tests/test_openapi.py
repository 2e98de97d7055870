"""The OpenAPI document: valid, complete, and compatible with the published RealWorld specification.

The other tests check each response against it (tests/described.py)."""

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from jsonschema_rs import Draft202012Validator, ValidationError
from webtest import TestResponse

import app
from tests.conftest import HOME, PASSWORD, Api, Someone
from tests.described import document, require_described

PUBLISHED = HOME.parent / "shared" / "realworld" / "openapi.yml"

# The contract limits texts in these ways, the published specification in none.
LIMITS = {"minLength", "maxLength", "minProperties", "pattern"}
SAYS_NOTHING = {"title", "description", "default", "format"}

Schema = dict[str, Any]


@pytest.fixture(scope="module")
def published() -> Schema:
    """The published specification, where there is a copy beside the project."""
    if not PUBLISHED.exists():
        pytest.skip(f"the published RealWorld specification is missing: {PUBLISHED}")
    return yaml.safe_load(PUBLISHED.read_text(encoding="utf-8"))


def test_a_response_that_the_document_does_not_describe_is_noticed(api):
    slug = api.someone("ann").writes("Rowing at dawn")
    answer = api.get(f"/articles/{slug}")
    article = answer.json["article"]
    for wrong in {"createdAt": "yesterday"}, {"favoritesCount": "many"}:
        answer.json_body = {"article": article | wrong}

        with pytest.raises(ValidationError):
            require_described("GET", f"/articles/{slug}", answer)


def test_the_document_is_served_under_both_prefixes_without_a_valid_token(api):
    for path in "/api/v1/openapi.json", "/api/openapi.json":
        answer = api.client.get(path, headers={"Authorization": "Token unknown"})

        assert answer.json == document()
        assert answer.headers["Content-Type"] == "application/json; charset=utf-8"


def test_the_document_lists_the_routes_and_which_of_them_need_a_token():
    security = {"required": [{"Token": []}], "optional": [{}, {"Token": []}], None: None}
    routes = {
        (method, path.replace("<", "{").replace(">", "}")): options.get("auth")
        for method, path, _, options in app.routes()
    }

    assert set(operations(document())) == routes.keys()
    for (method, path), auth in routes.items():
        assert operation(document(), method, path).get("security") == security[auth]
    assert [server["url"] for server in document()["servers"]] == app.PREFIXES
    assert not [name for name in document()["components"]["schemas"] if "__" in name]  # two models of one name


def test_every_published_request_is_accepted(published):
    assert set(operations(published)) <= set(operations(document()))
    for method, path in operations(published):
        ours, theirs = operation(document(), method, path), operation(published, method, path)

        if "requestBody" in ours:
            require_at_least_as_permissive(
                body_schema(document(), ours), body_schema(published, theirs), [method, path]
            )
        taken = {parameter["name"]: parameter for parameter in ours["parameters"]}
        for parameter in theirs.get("parameters", []):
            parameter = resolved(published, parameter)
            mine = taken[parameter["name"]]
            assert mine["in"] == parameter["in"]
            assert mine["required"] == parameter.get("required", False)
            assert parameter["schema"]["type"] == mine["schema"]["type"] or mine["schema"] == {"type": "string"}
            assert mine["schema"].get("minimum") == parameter["schema"].get("minimum")


def test_no_operation_requires_more_than_is_published(published):
    for method, path in operations(published):
        ours, theirs = operation(document(), method, path), operation(published, method, path)
        known = {resolved(published, parameter)["name"] for parameter in theirs.get("parameters", [])}

        assert {parameter["name"] for parameter in ours["parameters"] if parameter["required"]} <= known
        assert ("requestBody" in ours) == ("requestBody" in theirs)
        assert "security" in theirs or ours.get("security") != [{"Token": []}]


def test_every_operation_responds_as_published(api, published):
    ann, bob = api.someone("ann", username="Ann"), api.someone("bob")
    ann.changes(bio="I row.", image="https://example.org/ann.png")
    slug, gone = ann.writes("Rowing at dawn", "boats", "dawn"), ann.writes("Gone")
    bob.follows("ann")
    visit = Visit(published, slug=slug, username="ann", id=ann.says(slug, "First")["id"])

    visit(api, "POST", "/users", {"user": {"username": "cy", "email": "cy@example.org", "password": PASSWORD}}, 201)
    visit(api, "POST", "/users/login", {"user": {"email": ann.email, "password": PASSWORD}})
    for me in ann, bob:
        visit(me, "GET", "/user")
    visit(bob, "PUT", "/user", {"user": {"bio": None, "image": ""}})
    for me in api, ann, bob:
        visit(me, "GET", "/profiles/{username}")
        visit(me, "GET", "/articles?limit=1&offset=1&tag=boats&author=ann&favorited=bob")
        visit(me, "GET", "/articles")
        visit(me, "GET", "/articles/{slug}")
        visit(me, "GET", "/articles/{slug}/comments")
    visit(bob, "POST", "/profiles/{username}/follow")
    visit(bob, "GET", "/articles/feed?limit=1")
    visit(bob, "POST", "/articles", {"article": {"title": "Mine", "description": "About it", "body": "The text"}}, 201)
    visit(bob, "POST", "/articles/{slug}/favorite")
    visit(bob, "DELETE", "/articles/{slug}/favorite")
    visit(bob, "POST", "/articles/{slug}/comments", {"comment": {"body": "Well said"}}, 201)
    visit(bob, "DELETE", "/profiles/{username}/follow")
    visit(ann, "PUT", "/articles/{slug}", {"article": {"tagList": []}})
    visit(ann, "DELETE", "/articles/{slug}/comments/{id}", status=204)
    visit(api, "GET", "/tags")
    visit.filled["slug"] = gone
    visit(ann, "DELETE", "/articles/{slug}", status=204)

    assert visit.visited == set(operations(published))


def test_every_error_is_a_published_one(api, published):
    ann, bob = api.someone("ann"), api.someone("bob")
    slug = ann.writes("Rowing at dawn")
    visit = Visit(published, slug=slug, username="nobody", id=ann.says(slug, "First")["id"])
    empty = {"user": {"username": ""}, "article": {"title": ""}, "comment": {"body": ""}}
    taken = {"user": {"username": "ann", "email": "ann@example.org", "password": PASSWORD}}

    for method, path in operations(published):
        theirs = operation(published, method, path)
        if "security" in theirs:
            visit(api, method, path, status=401)
        if "requestBody" in theirs:
            visit(ann, method, path, empty, status=422)
    visit(api, "POST", "/users/login", {"user": {"email": ann.email, "password": "wrong"}}, 401)
    visit(api, "POST", "/users", taken, 409)
    visit(bob, "PUT", "/articles/{slug}", {"article": {"title": "Mine"}}, 403)
    visit(bob, "DELETE", "/articles/{slug}", status=403)
    visit(bob, "DELETE", "/articles/{slug}/comments/{id}", status=403)
    visit.filled["slug"] = "nothing"
    sent = {"article": {"title": "Mine"}, "comment": {"body": "Well said"}}
    for method, path in operations(published):
        if "404" in operation(published, method, path)["responses"]:
            visit(bob, method, path, sent if method in ("POST", "PUT") else None, 404)


class Visit:
    """Calls operations of the published specification, and validates each response against it."""

    def __init__(self, published: Schema, **filled: Any) -> None:
        self.published = published
        self.filled = filled
        self.visited: set[tuple[str, str]] = set()

    def __call__(self, me: Api | Someone, method: str, path: str, body: Any = None, status: int = 200) -> TestResponse:
        answer = me.call(method, path.format(**self.filled), body, status=status)
        template = path.partition("?")[0]
        described = resolved(self.published, operation(self.published, method, template)["responses"][str(status)])
        if described["content"]:
            schema = described["content"]["application/json"]["schema"]
            whole = {**schema, "components": self.published["components"]}
            Draft202012Validator(whole, validate_formats=True).validate(answer.json)
        else:
            assert answer.body == b""
        self.visited.add((method, template))
        return answer


def operations(specification: Schema) -> Iterator[tuple[str, str]]:
    """Every (method, path) of a document."""
    for path, methods in specification["paths"].items():
        for method in methods:
            yield method.upper(), path


def operation(specification: Schema, method: str, path: str) -> Schema:
    """One operation of a document."""
    return specification["paths"][path][method.lower()]


def resolved(specification: Schema, schema: Schema) -> Schema:
    """Follow references."""
    while "$ref" in schema:
        found: Any = specification
        for step in schema["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        schema = found
    return schema


def body_schema(specification: Schema, described: Schema) -> Schema:
    """The schema of an operation's request body, references resolved."""

    def inline(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: inline(inner) for key, inner in resolved(specification, value).items()}
        return value

    body = resolved(specification, described["requestBody"])
    return inline(body["content"]["application/json"]["schema"])


def require_at_least_as_permissive(ours: Schema, theirs: Schema, where: list[str]) -> None:
    """Fail if `ours` refuses what `theirs` allows, the contract's limits aside."""
    for kind in types(theirs):
        (mine,) = [each for each in ours.get("anyOf", [ours]) if kind in types(each)] or [None]
        assert mine is not None, f"{where} may be {kind}"
        known = {"type", "required", "properties", "items"}
        assert mine.keys() <= known | LIMITS | SAYS_NOTHING, f"{where} is limited by {mine.keys()}"
        assert set(mine.get("required", [])) <= set(theirs.get("required", [])), f"{where} asks for more"
        for name, schema in theirs.get("properties", {}).items():
            require_at_least_as_permissive(mine["properties"][name], schema, [*where, name])
        if "items" in theirs:
            require_at_least_as_permissive(mine["items"], theirs["items"], [*where, "items"])


def types(schema: Schema) -> list[str]:
    """The types that a schema names, as a list."""
    kind = schema.get("type", [])
    return [kind] if isinstance(kind, str) else kind
