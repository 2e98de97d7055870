"""Every page of /study: its links, its form, and what it must not show. One visit to each takes the most time."""

import itertools
import re
from urllib.parse import unquote, urldefrag, urlencode, urljoin, urlsplit

import pytest
from webtest import TestApp

import app
from config import Config
from plugins.errors import CONSTRAINTS
from tests.test_study import Village, html_of, result_of, text_of, village

__all__ = ["village"]

BROWSER = {"Accept": "text/html"}


def links_of(page):
    """What a page links to and loads, and what its forms send as they are."""
    for name, attribute in {"a": "href", "link": "href", "script": "src", "img": "src"}.items():
        for element in html_of(page).find_all(name):
            yield element.get(attribute, "")
    for form in html_of(page).find_all("form"):
        assert form.get("method", "get") == "get"
        fields = form.find_all(["input", "button"], attrs={"name": True})
        sent = [(each["name"], each.get("value", "on")) for each in fields if not is_unchecked(each)]
        yield f"{form.get('action', '').partition('#')[0]}?{urlencode(sent)}"


def is_unchecked(field):
    return field.get("type") == "checkbox" and not field.has_attr("checked")


class Pages:
    """All pages that links and forms lead to from the first one, by path."""

    def __init__(self, village: Village) -> None:
        self.links, self.all = [], {}
        self._visit(village.client, "/")
        self.study = {path: page for path, page in self.all.items() if path.startswith("/study")}
        self.html = {path: page for path, page in self.all.items() if page.content_type == "text/html"}
        self.study_html = {path: page for path, page in self.html.items() if path in self.study}

    def _visit(self, client, first):
        waiting = [first]
        while waiting:
            path = waiting.pop()
            if path in self.all:
                continue
            page = self.all[path] = client.get(path, headers=BROWSER)
            if page.content_type == "text/html":
                found = [urljoin(path, link) for link in links_of(page)]
                self.links += [(path, link) for link in found if link.startswith("/")]
                waiting += [urldefrag(link)[0] for link in found if link.startswith("/")]


@pytest.fixture(scope="module")
def pages(village):
    return Pages(village)


def test_every_link_and_form_leads_to_a_page_and_an_anchor_that_exist(village, pages):
    operations = {
        f"/{operation['tags'][0]}/{operation['operationId']}"
        for methods in village.client.get("/docs/openapi.json").json["paths"].values()
        for operation in methods.values()
    }
    ids = {path: {each["id"] for each in html_of(page).find_all(id=True)} for path, page in pages.html.items()}

    for source, link in pages.links:
        path, fragment = urldefrag(link)
        if path == "/docs" and fragment.startswith("/"):
            assert fragment in operations, f"{source} links to {link}"
        elif fragment:
            assert unquote(fragment) in ids[path], f"{source} links to {link}"
    assert pages.all.keys() >= {"/docs", "/docs/pages.css", "/docs/LICENSE.txt", "/docs/swagger-ui-bundle.js"}
    assert len(pages.study) > 120


def test_every_page_is_well_formed_and_accessible(pages):
    for path, answer in pages.study_html.items():
        page = html_of(answer)
        assert page.html["lang"] == "en"
        assert len(page.find_all("h1")) == 1, path
        levels = [int(heading.name[1]) for heading in page.find_all(re.compile("^h[1-6]$"))]
        assert all(after <= before + 1 for before, after in itertools.pairwise(levels)), (path, levels)
        assert page.find("main")
        assert page.find("header")
        assert page.select_one("a.skip")["href"] == "#content"
        ids = [each["id"] for each in page.find_all(id=True)]
        assert len(ids) == len(set(ids)), path
        for table in page.find_all("table"):
            assert table.caption
            assert all(head.get("scope") for head in table.find_all("th"))
        for entry in page.find_all("input"):
            assert entry.find_parent("label") or page.find("label", attrs={"for": entry["id"]}), path
        for code in page.find_all("pre"):
            assert (code["tabindex"], code["role"]) == ("0", "region"), path
            assert code["aria-label"], path


def test_no_page_holds_scripts_or_styles_or_loads_anything_from_elsewhere(pages):
    policy = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "
    for path, answer in pages.study.items():
        assert answer.headers.getall("Content-Security-Policy") == [policy + "frame-ancestors 'none'"], path
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    for answer in pages.study_html.values():
        assert not html_of(answer).find_all(["script", "style", "iframe", "object"])
        names = [name for tag in html_of(answer).find_all(True) for name in tag.attrs]
        assert not [name for name in names if name == "style" or name.startswith("on")]
        loaded = [tag.get("src") or tag["href"] for tag in html_of(answer).find_all(["img", "link"])]
        assert all(address.startswith("/study/static/") for address in loaded)


def test_every_reading_file_runs_with_the_values_its_form_proposes(village, pages):
    run = {path: page for path, page in pages.study.items() if "~run=1" in path or "%7Erun=1" in path}
    ran = {urlsplit(path).path.removeprefix("/study/sql/") for path in run}
    with_rows = {urlsplit(path).path.removeprefix("/study/sql/") for path, page in run.items() if result_of(page)}

    assert ran == {name for name, file in village.database.files.items() if not file.writes}
    for path, page in run.items():
        assert "It answered in" in text_of(page), (path, html_of(page).select_one(".problem"))
    articles = "articles/find articles/list articles/newest articles/search articles/feed articles/render tags/list"
    assert {*articles.split()} <= with_rows
    assert {"comments/find", "comments/render", "profiles/render", "accounts/find", "stats/daily"} <= with_rows


def test_every_error_of_a_constraint_is_on_the_page_of_its_table(pages):
    shown = "".join(text_of(page) for path, page in pages.study.items() if path.startswith("/study/tables/"))

    for status, field, message in CONSTRAINTS.values():
        assert f"{status} {field}: {message}" in shown


def test_no_page_shows_a_secret(village, pages):
    for path, page in pages.all.items():
        assert not village.secrets_in(page.text), path


BEHIND_A_PREFIX = """
    / /docs /study /study/schema /study/journey?path=/api/tags /study/tables/users /study/nothing
    /study/sql/articles/find /study/source/app.py /study/schema/0001_users
""".split()


def test_behind_a_prefix_every_address_in_a_page_is_below_it_and_answers(village):
    club = TestApp(app.make_app(Config(prefix="/club", study="on"), village.database))
    followed = set()
    for path in BEHIND_A_PREFIX:
        page = club.get(path, headers=BROWSER, status="*").html
        found = [tag.get("href") or tag.get("src") or tag.get("action") for tag in page.select("[href],[src],[action]")]
        own = [address for address in found if address.startswith("/")]
        assert own
        assert all(address.startswith("/club/") for address in own)
        for address in {re.sub("[?#].*", "", address.removeprefix("/club")) for address in own} - followed:
            followed.add(address)
            club.get(address, headers=BROWSER, status=200)
