"""The documents agree with the code: settings, metrics, routes, commands, tests."""

import dataclasses
import re

import pytest

import app
import cli
import cli_accounts  # noqa: F401 (adds its commands)
import cli_operations  # noqa: F401 (likewise)
from config import Config, variable
from deploy.grafana import DASHBOARD, dashboard
from metrics import METRICS
from seed import PASSWORD
from tests.conftest import HOME

README = (HOME / "README.md").read_text()


def _shown(field: dataclasses.Field[object]) -> str:
    if field.default in ("", None):
        return "–"
    if isinstance(field.default, bool):
        return "`on`" if field.default else "`off`"
    return f"`{' '.join(field.default) if isinstance(field.default, tuple) else field.default}`"


def test_the_operations_page_lists_every_setting():
    rows = [
        f"| `{variable(field)}` | {_shown(field)} | {field.metadata['why']} |" for field in dataclasses.fields(Config)
    ]

    page = (HOME / "docs/operations.md").read_text()

    assert re.findall(r"^\| `[A-Z_]+` \|.*\|$", page, re.MULTILINE) == rows


def test_the_operations_page_lists_every_metric():
    rows = [
        f"| `{name}` | {kind} | {', '.join(f'`{label}`' for label in labels) or '–'} | {text} |"
        for name, kind, labels, text, _ in METRICS
    ]

    page = (HOME / "docs/operations.md").read_text()

    assert re.findall(r"^\| `rowboat_.*\|$", page, re.MULTILINE) == rows


def test_the_dashboard_uses_metrics_that_exist(asks):
    api = asks(metrics_token="a-token-for-prometheus")
    api.someone("ann")
    api.lists()
    api.lists()
    exported = api.client.get("/metrics", headers={"Authorization": "Bearer a-token-for-prometheus"}).text

    used = set(re.findall(r"rowboat_\w+", " ".join(re.findall(r'"expr": "(.*)"', DASHBOARD.read_text()))))

    assert used >= {metric.name for metric in METRICS if metric.kind == "gauge"}
    assert used <= set(re.findall(r"^(rowboat_\w+)", exported, re.MULTILINE))
    assert DASHBOARD.read_text() == dashboard() + "\n", "run python -m deploy.grafana, and commit the file"


def test_the_readme_lists_every_command():
    documented = {
        words.strip() for words in re.findall(r"`((?:[a-z]+ ?)+)[A-Z]*`", README.partition("## Running it")[2])
    }

    groups = {"migration", "schema", "user", "audit"}
    commands = {name for name, command in cli.commands.commands.items() if not command.hidden} - groups
    commands |= {f"{group} {name}" for group in groups for name in cli.commands.commands[group].commands}

    assert commands <= documented


def test_the_api_page_lists_every_route():
    page = (HOME / "docs/api.md").read_text()

    for method, path, _, _ in app.routes():
        heading = f"### {method} {path.replace('<', '{').replace('>', '}')}"
        assert re.search(rf"^{re.escape(heading)}$", page, re.MULTILINE), f"docs/api.md has no {heading!r}"


def test_every_row_about_reliability_names_something_to_run():
    page, _, _ = (HOME / "docs/reliability.md").read_text().partition("\n## ")
    rows = [row.rsplit("|", 2)[1].strip() for row in re.findall(r"^\| (?!what )(.*)$", page, re.MULTILINE)]

    assert len(rows) > 30
    for row in rows:
        for name in re.findall(r"\[.*?\]\(\.\./(.*?)\)", row) or pytest.fail(f"docs/reliability.md: {row}"):
            assert (HOME / name).exists(), name


def test_the_readme_shows_a_file_and_names_the_demo_password():
    (shown,) = re.findall(r"```sql\n(.*?)```", README, re.DOTALL)

    assert shown == (HOME / "sql/profiles/render.sql").read_text()
    assert PASSWORD in README


def test_the_backup_page_shows_the_configuration_of_litestream():
    (shown,) = re.findall(r"```yaml\n(.*?)```", (HOME / "docs/backup.md").read_text(), re.DOTALL)

    assert shown == (HOME / "deploy/litestream.yml").read_text()
