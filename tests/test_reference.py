"""What browsers get: the page at /, and at /docs the API reference, in which each operation stands beside its SQL."""

import gzip
import hashlib
import re
import shlex

import openapi_spec_validator
import pytest
from webob import Request

from tests.conftest import HOME
from tests.described import document

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "Accept-Encoding": "gzip, br"}
VIEWER = HOME / "study/viewer"


def samples(api):
    """For each (method, template), its curl example and its SQL files with their texts."""
    described = api.client.get("/docs/openapi.json").json
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            curl, *files = operation["x-codeSamples"]
            assert curl["label"] == "curl"
            yield method.upper(), path, curl["source"], {each["label"]: each["source"] for each in files}


def test_a_browser_is_shown_a_page_where_programs_are_answered_in_json(api):
    page = api.client.get("/", headers=BROWSER)

    assert page.content_type == "text/html"
    assert {link["href"] for link in page.html.find_all("a")} == {"/docs", "/api/v1/openapi.json"}
    for accept in "*/*", "application/json", "application/json, text/html;q=0.5":
        answer = api.client.get("/", headers={"Accept": accept})
        assert answer.json["docs"] == "/docs"
        assert "Accept" in answer.headers.getall("Vary")
    assert "Accept" in page.headers.getall("Vary")


def test_only_who_may_study_is_shown_the_way_to_the_pages_of_the_sql(asks):
    for path in "/", "/docs":
        assert asks("127.0.0.1").client.get(path, headers=BROWSER).html.find(href="/study")
        assert not asks("192.0.2.1").client.get(path, headers=BROWSER).html.find(href="/study")
        assert asks("192.0.2.1", study="on").client.get(path, headers=BROWSER).html.find(href="/study")


def test_pages_run_nothing_that_is_not_a_file_of_this_server_and_nothing_frames_them(api):
    for path in "/", "/docs", "/docs/reference.js":
        (policy,) = api.client.get(path, headers=BROWSER).headers.getall("Content-Security-Policy")
        directives = dict(directive.split(" ", 1) for directive in policy.split("; "))

        assert directives["default-src"] == directives["frame-ancestors"] == directives["base-uri"] == "'none'"
        assert directives["script-src"] == directives["style-src"] == directives["connect-src"] == "'self'"
        assert "unsafe" not in policy


def test_every_file_that_the_reference_names_is_there(api):
    page = api.client.get("/docs", headers=BROWSER).html
    named = [element.get("src") or element.get("href") for element in page.find_all(["script", "link", "a"])]
    assert "/docs/swagger-ui-bundle.js" in named

    for path in named:
        if path.startswith("/docs"):
            assert api.client.get(path).status_int == 200


def test_a_file_is_not_sent_again_to_whom_has_it(api):
    first = api.client.get("/docs/swagger-ui-bundle.js", headers=BROWSER)
    known = BROWSER | {"If-None-Match": first.headers["ETag"]}

    assert first.headers["Cache-Control"] == "no-cache"
    assert api.client.get("/docs/swagger-ui-bundle.js", headers=known, status=304).body == b""


@pytest.mark.parametrize("name", ["swagger-ui-bundle.js", "swagger-ui.css"])
def test_a_packed_file_is_unpacked_for_whom_cannot(api, name):
    packed = (VIEWER / f"{name}.gz").read_bytes()

    def asked(method, encoding):
        # Not through WebTest, which unpacks.
        sent = Request.blank(f"/docs/{name}", method=method, headers={"Accept-Encoding": encoding})
        return sent.get_response(api.client.app)

    for encoding, body in ("gzip, br", packed), ("identity", gzip.decompress(packed)):
        head, get = asked("HEAD", encoding), asked("GET", encoding)
        assert get.body == body
        assert head.body == b""
        assert head.headers["Content-Length"] == get.headers["Content-Length"] == str(len(body))
        assert head.headers.get("Content-Encoding") == ("gzip" if body is packed else None)
        assert "Accept-Encoding" in get.headers.getall("Vary")


@pytest.mark.parametrize("name", ["nothing.js", "home.html", "examples.json", "update.sh", "..", "swagger-ui.css.gz"])
def test_nothing_else_is_served(api, name):
    assert api.client.get(f"/docs/{name}", status=404).json == {"errors": {"route": ["not found"]}}


def test_the_viewer_is_the_release_that_is_noted():
    packed = {"swagger-ui-bundle.js": "swagger-ui-bundle.js.gz", "swagger-ui.css": "swagger-ui.css.gz"}
    packed |= {"LICENSE": "LICENSE.txt", "NOTICE": "NOTICE.txt"}
    release, *lines = (VIEWER / "swagger-ui.sha256").read_text().splitlines()

    assert re.match(r"# swagger-ui-dist@\d+\.\d+\.\d+, Apache-2\.0:", release)
    assert len(lines) == 5
    for line in lines:
        digest, name = line.split()
        content = (VIEWER / packed.get(name, name)).read_bytes()
        content = gzip.decompress(content) if name in ("swagger-ui-bundle.js", "swagger-ui.css") else content
        assert hashlib.sha256(content).hexdigest() == digest, f"{name} is not that of the release that is noted"


def test_the_document_with_samples_is_valid_and_otherwise_the_same(api):
    described = api.client.get("/docs/openapi.json").json
    openapi_spec_validator.validate(described)

    for operations in described["paths"].values():
        for operation in operations.values():
            del operation["x-codeSamples"]
            operation["operationId"] = operation["operationId"].replace("-", "_")
            for parameter in operation["parameters"]:
                parameter.pop("example", None)
            if "requestBody" in operation:
                operation["requestBody"]["content"]["application/json"].pop("example", None)
    assert described == document()


def test_each_operation_shows_the_sql_files_that_the_command_routes_lists(api, fork):
    listed = {tuple(line.split()[:2]): line.split()[2:] for line in fork.says("routes")}

    for method, path, _, files in samples(api):
        names = listed.pop((method, path.replace("{", "<").replace("}", ">")))
        assert files == {f"sql/{name}.sql": (HOME / f"sql/{name}.sql").read_text() for name in names}
    assert listed == {}


def test_each_example_is_a_call_that_the_server_understands(api):
    for number, (method, path, curl, _) in enumerate(samples(api)):
        if "…" in curl:
            continue  # whoever adds a route may leave its example for later
        someone = api.someone(f"ann{number}")
        answer = called(api, curl.replace("$TOKEN", someone.token))

        assert answer.request.method == method
        assert re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), answer.request.path.removeprefix("/api"))
        # There may be no such article; what was sent is right all the same.
        understood = answer.status_int not in (400, 405, 415, 422) or "token" in answer.json["errors"]
        assert understood, f"{curl}\n{answer.text}"


def called(api, curl):
    """The answer to a call of curl."""
    name, *words = shlex.split(curl.replace("\\\n", ""))
    assert name == "curl"
    method, headers, body, address = "GET", {}, b"", ""
    words = iter(words)
    for word in words:
        match word:
            case "-X":
                method = next(words)
            case "-H":
                header, value = next(words).split(": ")
                headers[header] = value
            case "-d":
                body = next(words).encode()
            case _:
                address = word
    assert address.startswith("http://127.0.0.1:8080/")
    address = address.removeprefix("http://127.0.0.1:8080")
    return api.client.request(address, method=method, headers=headers, body=body, status="*")
