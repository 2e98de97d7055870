"""Study mode is switched on, never guessed; and what it shows of parameters, hosts and journeys."""

import pytest

from config import Config, ConfigError
from study import sources

TOKEN = "a-token-for-prometheus"

# What once made a client look as if it were on this machine, or a proxy adds.
CLIENTS = [
    ("127.0.0.1", "localhost", {}),
    ("::1", "[::1]:8080", {}),
    ("127.0.0.1", "localhost", {"X-Real-IP": "127.0.0.1"}),
    ("127.0.0.1", "localhost", {"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": "localhost"}),
    ("192.0.2.1", "rowboat.example.org", {"Forwarded": "for=127.0.0.1;host=localhost"}),
]


@pytest.mark.parametrize(("address", "host", "headers"), CLIENTS)
def test_it_is_off_unless_it_is_switched_on(asks, address, host, headers):
    client = asks(address, host).client

    for path in "/study", "/study/", "/study/sql/articles/find", "/study/static/study.css", "/metrics", "/metrics/":
        assert client.get(path, headers={"Host": host} | headers, status=404).json == {
            "errors": {"route": ["not found"]}
        }
    assert "Server-Timing" not in client.get("/api/tags", headers={"Host": host} | headers).headers
    assert not client.get("/", headers={"Accept": "text/html"}).html.find(href="/study")


@pytest.mark.parametrize(("address", "host", "headers"), CLIENTS)
def test_once_on_it_is_on_for_everybody_but_pages_of_other_origins(asks, address, host, headers):
    client = asks(address, host, study="on").client

    assert client.get("/study", headers={"Host": host} | headers, status=200)
    client.get("/study", headers={"Origin": "https://pages.example.org"}, status=404)
    client.get("/metrics", status=404)


@pytest.mark.parametrize("value", ["local", "On", "", "yes"])
def test_it_is_on_or_off(value):
    with pytest.raises(ConfigError, match="must be one of on, off"):
        Config.from_environment({"ROWBOAT_STUDY": value})


def test_metrics_need_a_token_in_the_settings(asks):
    client = asks("127.0.0.1", metrics_token=TOKEN).client

    client.get("/metrics", status=401)
    assert "rowboat_" in client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).text


@pytest.mark.parametrize("origin", ["https://pages.example.org", "http://localhost", "null"])
def test_pages_of_other_origins_are_not_told_which_sql_ran(asks, origin):
    api = asks("127.0.0.1", study="on")

    response = api.get("/tags", headers={"Origin": origin})

    assert "Server-Timing" not in response.headers
    assert "Server-Timing" not in response.headers["Access-Control-Expose-Headers"]
    assert "Timing-Allow-Origin" not in response.headers
    api.someone("ann")
    assert "tags.list" in api.get("/tags").headers["Server-Timing"]


@pytest.mark.parametrize(
    "path", ["/study/sql/articles/find", "/study", "/study/journey", "/docs", "/", "/study/nothing"]
)
def test_no_page_repeats_a_host_that_was_sent(asks, path):
    sent = {"Host": "evil.example", "X-Forwarded-Host": "evil2.example", "X-Forwarded-Proto": "gopher"}
    sent |= {"Forwarded": "host=evil3.example", "X-Forwarded-Prefix": "/evil4", "X-Original-URL": "/evil5"}
    sent |= {"Accept": "text/html", "Referer": "http://evil6.example/"}

    text = asks("127.0.0.1", study="on").client.get(path, headers=sent, status="*").text

    assert "evil" not in text
    assert "gopher" not in text


def test_parameters_of_a_file_have_each_its_own_description(asks):
    table = asks("127.0.0.1", study="on").client.get("/study/sql/articles/create").html.find("table")

    assert [[cell.get_text() for cell in row.find_all(["th", "td"])] for row in table.find_all("tr")[1:]] == [
        [":me", "INTEGER", "the caller's user id"],
        [":slug", "TEXT", "the words of the title, a hyphen and eight characters of chance"],
        [":title", "TEXT", ""],
        [":description", "TEXT", ""],
        [":body", "TEXT", ""],
        [":now", "TEXT", "the time of the request"],
    ]


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("--   :a  TEXT\n--   :b  TEXT  b", {"a": "", "b": "b"}),
        ("--   :a  TEXT | NULL\n--   :b  INTEGER | NULL  b: or :a", {"a": "", "b": "b: or :a"}),
        ("--   :a  TEXT  one\n--            two :b too\n--   :b  REAL", {"a": "one two :b too", "b": ""}),
        ("--   :a  TEXT\n--            below it", {"a": "below it"}),
        (
            "--   :a  TEXT  one\n--            :b names another\n--            and more",
            {"a": "one :b names another and more"},
        ),
        ("--   :a  TEXT  one\n--\n--            not of it", {"a": "one"}),
        ("--   :a  TEXT  one\n-- Returns a row.\n--            nor this", {"a": "one"}),
        ("--   :a  TEXT  one  \r\n--   :b  TEXT\r\n", {"a": "one", "b": ""}),
        ("--\t:a\tTEXT\tone\n-- :b TEXT two", {"a": "one", "b": "two"}),
        ("-- Nothing\n", {}),
    ],
)
def test_a_header_is_read_whatever_its_shape(header, found):
    assert sources.parameters(f"-- What it does.\n--\n{header}\n\nSELECT 1;\n--   :z  TEXT  no header") == found


def test_every_parameter_of_every_file_is_described_as_its_header_has_it(db):
    for file in db.files.values():
        described = sources.parameters(file.path.read_text(encoding="utf-8"))

        assert described.keys() == file.parameters.keys()
        assert not any(kind in meaning for meaning in described.values() for kind in ("TEXT", "INTEGER", "REAL"))


@pytest.mark.parametrize(
    "path", ["foo", "/apix", "/study", "//api/tags", "api/tags", "https://example.org", "?/api/tags", " /api"]
)
def test_a_journey_that_was_not_made_is_not_said_to_be(asks, path):
    client = asks("127.0.0.1", study="on").client

    page = client.get("/study/journey", {"path": path}).html.get_text()

    assert "A path begins with /api" in page
    assert "just now" not in page
    assert "Milliseconds" not in page


@pytest.mark.parametrize(
    "path", ["/api/tags", "/api", "/api/v1/articles/", "http://x.example/api/tags#top", "/api/nothing"]
)
def test_a_journey_that_was_made_says_so(asks, path):
    client = asks("127.0.0.1", study="on").client

    page = client.get("/study/journey", {"path": path}).html.get_text()

    assert "just now" in page
    assert "A path begins with" not in page
