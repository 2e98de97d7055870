"""docs/deploy.md, "Upgrading and going back": its commands, in its order, on an upgrade that brings a script."""

import re
import shlex
from itertools import pairwise

import pytest

from tests.commands import NEWEST
from tests.conftest import HOME
from tests.test_backup_commands import grown, is_sound, seeded  # noqa: F401

COMMIT = "CREATE TABLE boats (id INTEGER PRIMARY KEY) STRICT;", "-- Loses every boat.\nDROP TABLE boats;"


def steps(heading):
    """The commands of the first block after a text in docs/deploy.md, without their comments."""
    page = (HOME / "docs/deploy.md").read_text().partition("### Upgrading and going back\n")[2]
    page = page.partition(heading)[2] if heading else page
    (block,) = re.findall(r"\A.*?\n((?:    [^\n]*\n)+)", page, re.DOTALL)
    return [shlex.split(line, comments=True) for line in block.splitlines()]


@pytest.fixture
def follow(grown, tmp_path):  # noqa: F811
    """Do what the document says: `rowboat` is the command line, git brings or takes the script; the rest is noted."""

    def one_by_one(heading):
        done = []
        for words in steps(heading):
            words = [word.replace("/var/lib/rowboat", str(tmp_path)) for word in words if word != "sudo"]
            if words[0] == "rowboat":
                # The number in the document is an example of what `status` showed before the upgrade.
                grown.says(*(str(int(NEWEST)) if before == "--to" else word for before, word in pairwise(words)))
            elif words[:2] == ["git", "pull"]:
                grown.add("boats", *COMMIT)
            elif words[:2] == ["git", "checkout"]:
                grown.remove("boats")
            elif words == ["systemctl", "reload", "rowboat"] or words == ["systemctl", "start", "rowboat"]:
                grown.says("migrate")
            done.append(" ".join(words[:2]))
        return done

    return one_by_one


def newest(grown):  # noqa: F811
    return grown.sql("SELECT max(version) FROM schema_migrations")[0][0]


@pytest.mark.parametrize("heading", ["undo the schema scripts", "put the copy back"])
def test_the_way_back_ends_with_the_old_code_on_the_old_schema(grown, follow, heading):  # noqa: F811
    before = newest(grown)

    assert "rowboat backup" in follow("")
    assert newest(grown) == before + 1
    grown.sql("INSERT INTO boats (id) VALUES (1)")

    done = follow(heading)

    assert {"systemctl stop", "git checkout", "systemctl start"} < {*done}
    assert newest(grown) == before
    assert grown.tables().count("boats") == 0
    assert is_sound(grown)
