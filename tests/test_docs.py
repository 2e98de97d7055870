"""What the documents say is true: settings, routes, commands, the tests that they name, links, the README."""

import dataclasses
import os
import re
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

import app
import cli
import cli_accounts  # noqa: F401 (adds its commands)
import cli_operations  # noqa: F401 (likewise)
from config import Config, variable
from deploy.grafana import DASHBOARD, dashboard
from metrics import METRICS
from tests.conftest import HOME

DOCUMENTS = [HOME / "README.md", HOME / "CHANGELOG.md", *sorted((HOME / "docs").glob("*.md"))]


def _shown(field: dataclasses.Field[object]) -> str:
    if field.default in ("", None):
        return "–"
    if isinstance(field.default, bool):
        return "`on`" if field.default else "`off`"
    return f"`{' '.join(field.default) if isinstance(field.default, tuple) else field.default}`"


def test_every_setting_stands_in_the_operations_page_as_the_code_has_it():
    page = (HOME / "docs/operations.md").read_text()

    rows = [
        f"| `{variable(field)}` | {_shown(field)} | {field.metadata['why']} |" for field in dataclasses.fields(Config)
    ]

    assert re.findall(r"^\| `[A-Z_]+` \|.*\|$", page, re.MULTILINE) == rows


def test_every_metric_stands_in_the_operations_page_as_the_code_has_it():
    page = (HOME / "docs/operations.md").read_text()

    rows = [
        f"| `{name}` | {kind} | {', '.join(f'`{label}`' for label in labels) or '–'} | {text} |"
        for name, kind, labels, text, _ in METRICS
    ]

    assert re.findall(r"^\| `rowboat_.*\|$", page, re.MULTILINE) == rows


def test_the_dashboard_asks_for_metrics_that_are_there(api):
    api.someone("ann")
    api.lists()
    api.lists()
    there = api.client.get("/metrics", extra_environ={"REMOTE_ADDR": "127.0.0.1"}).text

    asked = set(re.findall(r"rowboat_\w+", " ".join(re.findall(r'"expr": "(.*)"', DASHBOARD.read_text()))))

    assert asked >= {metric.name for metric in METRICS if metric.kind == "gauge"}
    assert asked <= set(re.findall(r"^(rowboat_\w+)", there, re.MULTILINE))


def test_the_dashboard_is_what_the_list_of_metrics_makes():
    assert DASHBOARD.read_text() == dashboard() + "\n", "run python -m deploy.grafana, and commit the file"


def test_every_command_stands_in_the_readme():
    table = (HOME / "README.md").read_text().partition("## Running it")[2]
    documented = {words.strip() for words in re.findall(r"`((?:[a-z]+ ?)+)[A-Z]*`", table)}

    groups = {"migration", "schema", "user", "audit"}
    commands = {name for name, command in cli.commands.commands.items() if not command.hidden} - groups
    commands |= {f"{group} {name}" for group in groups for name in cli.commands.commands[group].commands}

    assert commands <= documented


def test_every_route_stands_in_the_api_page():
    page = (HOME / "docs/api.md").read_text()

    for method, path, _, _ in app.routes():
        heading = f"### {method} {path.replace('<', '{').replace('>', '}')}"
        assert re.search(rf"^{re.escape(heading)}$", page, re.MULTILINE), f"docs/api.md has no {heading!r}"


def _lines_of_the_contract() -> list[str]:
    page = (HOME / "docs/api.md").read_text()
    items = re.findall(r"^- (.*(?:\n  .*)*)", page, re.MULTILINE)
    rows = re.findall(r"^\| (?!when )(?!-)(.*) \|$", page, re.MULTILINE)
    return items + rows


def test_every_line_of_the_api_page_names_a_test():
    lines = _lines_of_the_contract()

    assert len(lines) > 80
    for line in lines:
        named = re.findall(r"`((?:faults/)?test_\w+)::(test_\w+)`", line)
        assert named, f"docs/api.md: no test is named in: {line}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_test_that_a_document_names_exists(document):
    for module, test in re.findall(r"`((?:\w+/)?test_\w+)::(test_\w+)`", document.read_text()):
        source = (HOME / "tests" / f"{module}.py").read_text()
        assert re.search(rf"^def {test}\(", source, re.MULTILINE), f"{document.name}: there is no {module}::{test}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_between_documents_lead_somewhere(document):
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", document.read_text()):
        assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_the_sql_in_the_readme_is_the_file():
    readme = (HOME / "README.md").read_text()
    (shown,) = re.findall(r"```sql\n(.*?)```", readme, re.DOTALL)

    assert shown == (HOME / "sql/profiles/render.sql").read_text()


def test_the_configuration_of_litestream_in_the_backup_page_is_the_file():
    (shown,) = re.findall(r"```yaml\n(.*?)```", (HOME / "docs/backup.md").read_text(), re.DOTALL)

    assert shown == (HOME / "deploy/litestream.yml").read_text()


def _readme_commands() -> list[tuple[str, str]]:
    """Each command in the README's console blocks with the output shown below it, without the first block."""
    blocks = re.findall(r"```console\n(.*?)```", (HOME / "README.md").read_text(), re.DOTALL)[1:]
    return [tuple(part.partition("\n")[::2]) for block in blocks for part in block.split("$ ")[1:]]


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """A copy of the project in which `make demo` is running, and its port."""
    if not (HOME / ".venv/tests").exists():
        pytest.skip("needs .venv, which `make test` builds")
    if not shutil.which("curl"):
        pytest.skip("needs curl")
    clone = tmp_path / "rowboat"
    left_out = shutil.ignore_patterns(".venv*", ".mutants", ".git", "data", ".*_cache", "__pycache__")
    shutil.copytree(HOME, clone, ignore=left_out)
    (clone / ".venv").symlink_to(HOME / ".venv")
    output = tmp_path / "output"
    with output.open("w") as log:
        environment = os.environ | {"ROWBOAT_PORT": "0", "PYTHONUNBUFFERED": "1"}
        server = subprocess.Popen(
            ["make", "demo"], cwd=clone, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield clone, _port(server, output)
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(10)


def _port(server: subprocess.Popen[bytes], output: Path) -> int:
    for _ in range(300):
        started = re.search(r"Rowboat on http://127\.0\.0\.1:(\d+)/", output.read_text())
        if started:
            return int(started[1])
        assert server.poll() is None, output.read_text()
        time.sleep(0.1)
    raise AssertionError(f"make demo does not serve: {output.read_text()}")


def test_the_commands_in_the_readme_print_what_it_shows(demo):
    clone, port = demo
    commands = _readme_commands()

    assert len(commands) >= 3
    for command, shown in commands:
        typed = command.replace(":8080/", f":{port}/").replace("curl ", "curl --silent ")
        done = subprocess.run(typed, shell=True, cwd=clone, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == shown.strip(), command


def test_the_demo_password_in_the_readme_logs_in(demo):
    _, port = demo
    body = b'{"user": {"email": "ada@example.org", "password": "rowboat-demo"}}'

    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/users/login", body, {"Content-Type": "application/json"}
    )

    with urllib.request.urlopen(request) as answer:
        assert answer.status == 200
    assert "rowboat-demo" in (HOME / "README.md").read_text()
