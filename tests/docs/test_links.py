"""Every link in a document leads to a file, a heading or a line that exists."""

import os
import re
from collections import Counter
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.conftest import HOME


def documents():
    for folder, folders, files in os.walk(HOME):
        folders[:] = [name for name in folders if not name.startswith(".") and name not in ("data", "released")]
        yield from (Path(folder, name) for name in files if name.endswith(".md"))


def links_in(document):
    """The links and pictures of a document that lead to files of the project."""
    text = re.sub(r"^```.*?^```|`[^`\n]+`", "", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    found = re.findall(r"\]\(([^)\s]+)[^)]*\)|^\[[^\]]+\]: (\S+)|(?:href|src|srcset)=\"([^\"]+)\"", text, re.MULTILINE)
    return [link for groups in found for link in groups if link and not re.match(r"https?://|mailto:", link)]


def anchors_of(text):
    """The anchors that GitHub gives to the headings of a document."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    anchors, seen = set(), Counter()
    for heading in re.findall(r"^#+ +(.*?)\s*$", text, re.MULTILINE):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        anchor = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        anchors.add(f"{anchor}-{seen[anchor]}" if seen[anchor] else anchor)
        seen[anchor] += 1
    return anchors


@pytest.mark.parametrize("document", sorted(documents()), ids=lambda path: str(path.relative_to(HOME)))
def test_every_link_in_a_document_leads_somewhere(document):
    for link in links_in(document):
        path, _, fragment = unquote(link).partition("#")
        target = document.parent / path if path else document
        assert target.exists(), f"there is no {link}"
        if line := re.fullmatch(r"L(\d+)(?:-L(\d+))?", fragment):
            last = int(line[2] or line[1])
            assert last <= len(target.read_text(encoding="utf-8").splitlines()), f"{path} has no line {last}"
        elif fragment:
            assert fragment in anchors_of(target.read_text(encoding="utf-8")), f"there is no {link}"
