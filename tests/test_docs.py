"""What the documents say is true: settings, routes, commands, the tests that they name, the README."""

import dataclasses
import re
import shutil
import subprocess
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
from tests.documents import copy_checkout, server

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
        named = re.findall(r"`((?:\w+/)?test_\w+)::(test_\w+)`", line)
        assert named, f"docs/api.md: no test is named in: {line}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_test_that_a_document_names_exists(document):
    for module, test in re.findall(r"`((?:\w+/)?test_\w+)::(test_\w+)`", document.read_text()):
        path = HOME / "tests" / f"{module}.py"
        source = path.read_text() if path.exists() else document.read_text()  # a tutorial brings its own
        assert re.search(rf"^def {test}\(", source, re.MULTILINE), f"{document.name}: there is no {module}::{test}"


def test_every_row_about_reliability_names_a_command_that_runs_tests():
    page, _, _ = (HOME / "docs/reliability.md").read_text().partition("\n## ")
    rows = [row.rsplit("|", 2)[1].strip() for row in re.findall(r"^\| (?!what )(.*)$", page, re.MULTILINE)]

    assert len(rows) > 30
    for row in rows:
        if row in ("`.venv/bin/python -m tests.mutate_sql`", "`make mutants`"):
            continue
        found = re.fullmatch(r'`(?:MINUTES=\d+ )?\.venv/bin/python -m pytest(?: -s)? (\S+?)(?: -k "?(.+?)"?)?`', row)
        assert found, f"docs/reliability.md: this is no command: {row}"
        tests = re.findall(r"^def (test_\w+)", (HOME / found[1]).read_text(), re.MULTILINE)
        for word in (found[2] or "test_").split(" or "):
            assert any(word in test for test in tests), f"{found[1]} has no test for -k {word}"


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
    if not shutil.which("curl"):
        pytest.skip("needs curl")
    clone = copy_checkout(HOME, tmp_path / "rowboat")
    with server(clone) as port:
        yield clone, port


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
