"""The commands in the README and in two guides print what they show, and the guides lead where they say."""

import re

import pytest

from tests.conftest import HOME
from tests.docs.documents import carry_out, copy_checkout, steps

README = "\n".join(re.findall(r"^```console\n.*?^```$", (HOME / "README.md").read_text(), re.DOTALL | re.MULTILINE)[1:])
TUTORIAL = (HOME / "docs/your-own-resource.md").read_text()
FORK = (HOME / "docs/fork.md").read_text()


@pytest.mark.parametrize("document", [TUTORIAL, FORK], ids=["tutorial", "fork"])
def test_every_code_block_is_a_step(document):
    assert len(list(steps(document))) == document.count("```") / 2 > 15


def test_the_readme_and_the_tutorial_print_what_they_show(tmp_path):
    home = copy_checkout(HOME, tmp_path / "rowboat")

    assert README.count("$ ") >= 3
    carry_out(README, home)
    carry_out(TUTORIAL, home)


def test_a_fork_without_articles_passes_its_tests(tmp_path):
    carry_out(FORK, copy_checkout(HOME, tmp_path / "rowboat"), target="run")
