"""The documents that lead somewhere, done as they say."""

import pytest

from tests.conftest import HOME
from tests.documents import copy_checkout, do, steps

TUTORIAL = (HOME / "docs/your-own-resource.md").read_text()
FORK = (HOME / "docs/fork.md").read_text()


@pytest.mark.parametrize("document", [TUTORIAL, FORK], ids=["tutorial", "fork"])
def test_everything_that_is_shown_is_a_step(document):
    assert len(list(steps(document))) == document.count("```") / 2 > 15


@pytest.mark.slow(seconds=90)
def test_the_tutorial_leads_from_an_idea_to_routes_with_tests(tmp_path):
    do(TUTORIAL, copy_checkout(HOME, tmp_path / "rowboat"))


@pytest.mark.slow(seconds=90)
def test_a_fork_without_articles_starts_and_its_tests_pass(tmp_path):
    do(FORK, copy_checkout(HOME, tmp_path / "rowboat"), target="run")
