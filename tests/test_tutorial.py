"""docs/your-own-resource.md, done as it says."""

import shutil
from contextlib import ExitStack, closing

import pytest

from tests.conftest import HOME
from tests.documents import Shell, commands, copy_checkout, demo_server, is_shown, steps, write

TUTORIAL = (HOME / "docs/your-own-resource.md").read_text()
PICTURE = "tests/test_drawing.py::test_the_picture_shows_every_table_column_and_foreign_key"


@pytest.mark.slow
def test_the_tutorial_leads_from_an_idea_to_routes_with_tests(tmp_path):
    copy = copy_checkout(HOME, tmp_path / "rowboat")
    port = None
    with ExitStack() as stack:
        shell = stack.enter_context(closing(Shell(copy)))
        for step in steps(TUTORIAL):
            if step["path"]:
                write(copy, step)
            for command, shown in commands(step["session"] or ""):
                if command == "make schema-drawing" and not shutil.which("dot"):
                    shell.says(".venv/bin/python -m study.drawing || true")
                    shell.says(f"export PYTEST_ADDOPTS='--deselect {PICTURE}'")
                    continue
                if ":8080" in command:
                    port = port or stack.enter_context(demo_server(copy))
                    command = command.replace(":8080", f":{port}")
                printed = shell.says(command)
                assert is_shown(shown, printed), f"{command}\n{printed}"


def test_everything_that_the_tutorial_shows_is_a_step_of_it():
    assert len(list(steps(TUTORIAL))) == TUTORIAL.count("```") / 2
