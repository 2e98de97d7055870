"""Every link within the project leads somewhere: in the documents, and in the pages that browsers get."""

import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlencode, urljoin

import pytest
from webtest import TestResponse
from webtest.forms import Submit

from tests.conftest import HOME

LISTED = subprocess.run(["git", "ls-files", "*.md"], cwd=HOME, capture_output=True, text=True, check=True).stdout
DOCUMENTS = [HOME / line for line in LISTED.splitlines()]


def _without_code(text: str) -> str:
    return re.sub(r"^```.*?^```|`[^`\n]+`", "", text, flags=re.MULTILINE | re.DOTALL)


def _links(document: Path) -> list[str]:
    """Where a document links to, or takes pictures from, within the project."""
    text = _without_code(document.read_text(encoding="utf-8"))
    found = re.findall(r"\]\(([^)\s]+)[^)]*\)|^\[[^\]]+\]: (\S+)|(?:href|src|srcset)=\"([^\"]+)\"", text, re.MULTILINE)
    return [link for groups in found for link in groups if link and not re.match(r"https?://|mailto:", link)]


def _anchors(document: Path) -> set[str]:
    """The fragments under which GitHub shows the headings of a document."""
    text = re.sub(r"^```.*?^```", "", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    anchors: set[str] = set()
    seen: Counter[str] = Counter()
    for heading in re.findall(r"^#+ +(.*?)\s*$", text, re.MULTILINE):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        anchor = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        anchors.add(f"{anchor}-{seen[anchor]}" if seen[anchor] else anchor)
        seen[anchor] += 1
    return anchors


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(HOME)))
def test_every_link_in_a_document_leads_to_a_file_and_a_heading_that_are_there(document):
    for link in _links(document):
        path, _, fragment = unquote(link).partition("#")
        target = document.parent / path if path else document
        assert target.exists(), f"there is no {link}"
        if line := re.fullmatch(r"L(\d+)(?:-L(\d+))?", fragment):
            last = int(line[2] or line[1])
            assert last <= len(target.read_text(encoding="utf-8").splitlines()), f"{path} has no line {last}"
        elif fragment:
            assert fragment in _anchors(target), f"{path or document.name} has no heading #{fragment}"


def test_the_headings_of_a_document_are_found_as_github_names_them(tmp_path):
    document = tmp_path / "page.md"
    document.write_text(
        "# What is `not` promised?\n\n## A [link](x.md), and _more_\n\n```\n# none\n```\n\n## Twice\n\n## Twice\n"
    )

    assert _anchors(document) == {"what-is-not-promised", "a-link-and-_more_", "twice", "twice-1"}


def _leads_to(answer: TestResponse) -> Iterator[str]:
    """What a page links to, is made of, and asks for when its forms are sent as they stand."""
    for name, attribute in {"a": "href", "link": "href", "script": "src", "img": "src"}.items():
        for element in answer.html.find_all(name):
            yield element.get(attribute, "")
    for form in answer.forms.values():
        assert form.method.lower() == "get"
        action, _, fragment = form.action.partition("#")
        buttons = [name for name in form.fields if name and isinstance(form[name], Submit)]
        yield f"{action}?{urlencode(form.submit_fields(*buttons))}" + (f"#{fragment}" if fragment else "")


@pytest.mark.slow
def test_every_link_of_the_pages_leads_to_a_page_and_a_place_that_are_there(asks):
    client = asks("127.0.0.1").client
    operations = {
        f"/{operation['tags'][0]}/{operation['operationId']}"
        for methods in client.get("/docs/openapi.json").json["paths"].values()
        for operation in methods.values()
    }
    anchors: dict[str, set[str]] = {}
    waiting = [("nowhere", "/")]
    fragments = []
    while waiting:
        source, link = waiting.pop()
        asked, fragment = urldefrag(link)
        if fragment:
            fragments.append((source, asked, unquote(fragment)))
        if asked in anchors:
            continue
        answer = client.get(asked, headers={"Accept": "text/html"}, status="*")
        assert answer.status_int == 200, f"{source} links to {link}: {answer.status}"
        anchors[asked] = set()
        if answer.content_type == "text/html":
            anchors[asked] = {element["id"] for element in answer.html.find_all(id=True)}
            found = (urljoin(asked, each) for each in _leads_to(answer))
            waiting += [(asked, each) for each in found if each.startswith("/")]

    for source, path, fragment in fragments:
        there = operations if path == "/docs" and fragment.startswith("/") else anchors[path]
        assert fragment in there, f"{source} links to {path}#{fragment}, which is not there"
    assert anchors.keys() >= {"/docs", "/docs/pages.css", "/docs/LICENSE.txt"}
