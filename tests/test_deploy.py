"""The files in deploy/: they fit the program, each other and docs/deploy.md. tests/system/test_deploy.py runs them."""

import configparser
import dataclasses
import fnmatch
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from config import Config, variable
from tests.conftest import HOME

DEPLOY = HOME / "deploy"
SHIPPED = [HOME / "Procfile", *sorted(path for path in DEPLOY.iterdir() if path.is_file() and path.name != ".env")]


def dockerfile() -> list[tuple[str, str]]:
    """Each instruction with what follows it."""
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    return [tuple(line.split(maxsplit=1)) for line in text.splitlines() if line and line[0] != "#"]


def instruction(name: str) -> str:
    """What follows the last instruction of that name, which is the one that counts."""
    return [rest for each, rest in dockerfile() if each == name][-1]


def is_left_out(path: Path) -> bool:
    """Whether .dockerignore keeps a path of the repository, or a folder above it, out of the image."""
    patterns = [line for line in (HOME / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    for each in (path, *path.parents[:-1]):
        for pattern in patterns:
            anywhere = pattern.startswith("**/")
            if fnmatch.fnmatch(each.name if anywhere else str(each), pattern.removeprefix("**/")):
                return True
    return False


def test_the_image_is_built_by_tested_make_targets_alone():
    demo = re.search(r"^demo: (.*?) *##", (HOME / "Makefile").read_text(), re.MULTILINE)[1].split()  # see test_docs.py
    commands = [shlex.split(part) for name, rest in dockerfile() if name == "RUN" for part in rest.split("&&")]

    assert ["make", "install"] in commands
    for program, *arguments in commands:
        assert program in ("apt-get", "useradd", "install") or (program, arguments) == ("make", demo)


def test_the_image_runs_as_an_unprivileged_user_and_receives_signals():
    names = [name for name, _ in dockerfile()]

    assert "USER rowboat" in (DEPLOY / "Dockerfile").read_text()
    assert names.index("USER") > max(number for number, name in enumerate(names) if name == "RUN")
    assert instruction("VOLUME") == "/data"
    assert json.loads(instruction("CMD"))[:2] == ["env", "--block-signal=TERM"]  # else it is lost while Python starts


def test_the_image_contains_no_secrets_and_no_database():
    for path in ".env", ".git/config", "deploy/.env", "data/rowboat.db", "old.db", "old.db-wal", ".venv/bin/python":
        assert is_left_out(Path(path)), path
    for path in "app.py", "sql/articles/find.sql", "handlers/users.py", "requirements.txt", "seed.json":
        assert not is_left_out(Path(path)), path


def test_the_services_of_docker_compose_fit_each_other():
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    rowboat, front, litestream = services["rowboat"], services["caddy"], services["litestream"]

    assert rowboat["environment"] == {
        "ROWBOAT_STUDY": "off",
        "ROWBOAT_TRUSTED_PROXY": front["networks"]["inside"]["ipv4_address"],
    }
    assert rowboat["env_file"] == ".env"
    assert int(rowboat["stop_grace_period"].rstrip("s")) > Config().drain_s + 5
    assert front["environment"]["UPSTREAM"] == "rowboat:8080"
    assert [name for name, service in services.items() if "ports" in service] == ["caddy"]
    assert [name for name, service in services.items() if "profiles" in service] == ["litestream"]
    assert f"--uid {litestream['user']} " in (DEPLOY / "Dockerfile").read_text()
    assert {service["restart"] for service in services.values()} == {"unless-stopped"}
    mounted = [volume.split(":")[0] for service in services.values() for volume in service["volumes"]]
    assert [path for path in mounted if path.startswith(".") and not (DEPLOY / path).is_file()] == []


def unit() -> configparser.SectionProxy:
    """The [Service] section. The lines of a key that appears more than once are joined."""

    class Lines(dict[str, Any]):
        def __setitem__(self, key: str, value: Any) -> None:
            if isinstance(value, list) and key in self:
                value = self[key] + value
            super().__setitem__(key, value)

    parser = configparser.RawConfigParser(dict_type=Lines, strict=False, delimiters="=")
    parser.optionxform = str
    parser.read(DEPLOY / "rowboat.service")
    return parser["Service"]


def test_the_systemd_unit_agrees_with_the_documentation():
    service, page = unit(), (HOME / "docs/deploy.md").read_text()

    home = service["WorkingDirectory"]
    assert shlex.split(service["ExecStart"]) == [f"{home}/.venv/bin/python", "app.py", "serve"]
    assert service["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert int(service["TimeoutStopSec"]) > Config().drain_s + 5
    settings = dict(each.split("=") for each in service["Environment"].split("\n"))
    assert settings["ROWBOAT_DATABASE"] == f"/var/lib/{service['StateDirectory']}/rowboat.db"
    for each in home, settings["ROWBOAT_SETTINGS"], service["SupplementaryGroups"], "/var/lib/rowboat":
        assert each in page, each


def test_commands_run_with_the_properties_of_the_service():
    service, script = unit(), (DEPLOY / "rowboat").read_text()
    given = dict(re.findall(r"--property=(\w+)=(\S+)", script))
    settings = dict(each.split("=") for each in service["Environment"].split("\n"))

    assert given == {name: service[name] for name in given}
    assert {"DynamicUser", "User", "StateDirectory", "SupplementaryGroups", "UMask"} <= given.keys()
    assert dict(re.findall(r"--setenv=(\w+)=(\S+)", script)).items() <= settings.items()
    assert "ROWBOAT_DATABASE" in script
    assert f"--working-directory={service['WorkingDirectory']} " in script


def test_study_mode_is_off_in_all_shipped_files():
    switches = [each for path in SHIPPED for each in re.findall(r"ROWBOAT_STUDY[=:]\s*\"?(\w+)", path.read_text())]

    assert switches == ["off"] * 4


def test_every_setting_in_a_shipped_file_exists():
    shipped = {name for path in SHIPPED for name in re.findall(r"\bROWBOAT_[A-Z_]+", path.read_text())}

    assert "ROWBOAT_DATABASE" in shipped
    assert shipped <= {variable(field) for field in dataclasses.fields(Config)}


@pytest.mark.parametrize("name", [path.name for path in SHIPPED])
def test_every_shipped_file_is_documented(name):
    assert re.search(rf"\b{re.escape(name)}\b", (HOME / "docs/deploy.md").read_text())
