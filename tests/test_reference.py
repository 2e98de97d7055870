"""The page at /, and at /docs the API reference, which shows the SQL of each operation."""

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
COMPRESSED = ["swagger-ui-bundle.js", "swagger-ui.css"]


@pytest.fixture
def samples(api):
    """For each (method, template), its curl example and its SQL files with their texts."""
    found = {}
    for path, operations in api.client.get("/docs/openapi.json").json["paths"].items():
        for method, operation in operations.items():
            curl, *files = operation["x-codeSamples"]
            assert curl["label"] == "curl"
            found[method.upper(), path] = curl["source"], {each["label"]: each["source"] for each in files}
    return found


def test_the_root_is_a_page_for_browsers_and_json_for_programs(api):
    page = api.client.get("/", headers=BROWSER)

    assert page.content_type == "text/html"
    assert {link["href"] for link in page.html.find_all("a")} == {"/docs", "/api/v1/openapi.json"}
    assert "Accept" in page.headers.getall("Vary")
    for accept in "*/*", "application/json", "application/json, text/html;q=0.5":
        answer = api.client.get("/", headers={"Accept": accept})
        assert answer.json["docs"] == "/docs"
        assert "Accept" in answer.headers.getall("Vary")


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_pages_link_to_the_study_pages_in_study_mode_only(asks, path):
    assert not asks("127.0.0.1").client.get(path, headers=BROWSER).html.find(href="/study")
    assert asks("192.0.2.1", study="on").client.get(path, headers=BROWSER).html.find(href="/study")


@pytest.mark.parametrize("path", ["/", "/docs", "/docs/reference.js"])
def test_pages_run_only_files_of_this_server_and_cannot_be_framed(api, path):
    (policy,) = api.client.get(path, headers=BROWSER).headers.getall("Content-Security-Policy")
    directives = dict(directive.split(" ", 1) for directive in policy.split("; "))

    assert directives["default-src"] == directives["frame-ancestors"] == directives["base-uri"] == "'none'"
    assert directives["script-src"] == directives["style-src"] == directives["connect-src"] == "'self'"
    assert "unsafe" not in policy


def test_an_unchanged_file_is_not_sent_again(api):
    first = api.client.get("/docs/swagger-ui-bundle.js", headers=BROWSER)
    known = BROWSER | {"If-None-Match": first.headers["ETag"]}

    assert first.headers["Cache-Control"] == "no-cache"
    assert api.client.get("/docs/swagger-ui-bundle.js", headers=known, status=304).body == b""


@pytest.mark.parametrize("name", COMPRESSED)
def test_a_compressed_file_is_decompressed_for_clients_that_do_not_accept_gzip(api, name):
    compressed = (VIEWER / f"{name}.gz").read_bytes()

    def send(method, encoding):
        # Without WebTest, which decompresses.
        request = Request.blank(f"/docs/{name}", method=method, headers={"Accept-Encoding": encoding})
        return request.get_response(api.client.app)

    for encoding, body in ("gzip, br", compressed), ("identity", gzip.decompress(compressed)):
        head, get = send("HEAD", encoding), send("GET", encoding)
        assert get.body == body
        assert head.body == b""
        assert head.headers["Content-Length"] == get.headers["Content-Length"] == str(len(body))
        assert head.headers.get("Content-Encoding") == ("gzip" if body is compressed else None)
        assert "Accept-Encoding" in get.headers.getall("Vary")


@pytest.mark.parametrize("name", ["nothing.js", "home.html", "examples.json", "update.sh", "..", "swagger-ui.css.gz"])
def test_no_other_file_is_served(api, name):
    assert api.client.get(f"/docs/{name}", status=404).json == {"errors": {"route": ["not found"]}}


def test_the_viewer_has_the_checksums_of_its_release():
    stored = {name: f"{name}.gz" for name in COMPRESSED} | {"LICENSE": "LICENSE.txt", "NOTICE": "NOTICE.txt"}
    release, *lines = (VIEWER / "swagger-ui.sha256").read_text().splitlines()

    assert re.match(r"# swagger-ui-dist@\d+\.\d+\.\d+, Apache-2\.0:", release)
    assert len(lines) == 5
    for line in lines:
        checksum, name = line.split()
        content = (VIEWER / stored.get(name, name)).read_bytes()
        content = gzip.decompress(content) if name in COMPRESSED else content
        assert hashlib.sha256(content).hexdigest() == checksum, name


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


def test_each_operation_shows_the_sql_files_that_the_command_routes_lists(samples, commands):
    listed = {tuple(line.split()[:2]): line.split()[2:] for line in commands.says("routes")}

    for (method, path), (_, files) in samples.items():
        names = listed.pop((method, path.replace("{", "<").replace("}", ">")))
        assert files == {f"sql/{name}.sql": (HOME / f"sql/{name}.sql").read_text() for name in names}
    assert listed == {}


def test_each_example_is_a_valid_request(api, samples):
    for number, ((method, path), (curl, _)) in enumerate(samples.items()):
        if "…" in curl:
            continue  # an example that is still to be written
        answer = call(api, curl.replace("$TOKEN", api.someone(f"ann{number}").token))

        assert answer.request.method == method
        assert re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), answer.request.path.removeprefix("/api"))
        # The article may not exist; the request is valid all the same.
        is_valid = answer.status_int not in (400, 405, 415, 422) or "token" in answer.json["errors"]
        assert is_valid, f"{curl}\n{answer.text}"


def call(api, curl):
    """The response to a curl command."""
    name, *words = shlex.split(curl.replace("\\\n", ""))
    assert name == "curl"
    options = {"-X": ["GET"], "-H": [], "-d": [""], "": []}
    while words:
        option = words.pop(0) if words[0] in options else ""
        options[option].append(words.pop(0))
    (address,) = options[""]
    assert address.startswith("http://127.0.0.1:8080/")
    return api.client.request(
        address.removeprefix("http://127.0.0.1:8080"),
        method=options["-X"][-1],
        headers=dict(header.split(": ") for header in options["-H"]),
        body=options["-d"][-1].encode(),
        status="*",
    )
