"""The benchmark still runs. No timings are asserted."""

import json
import shutil
import subprocess

import pytest

from tests.conftest import HOME


@pytest.mark.skipif(
    not shutil.which("wrk") or not (HOME / ".venv-bench/runs").exists(),
    reason="needs the Debian package wrk, and .venv-bench, which `make bench` builds",
)
def test_the_benchmark_measures_every_contestant():
    results = HOME / "bench" / "results" / "results.json"
    results.unlink(missing_ok=True)

    subprocess.run(["make", "bench", "BENCH_ARGS=--smoke"], cwd=HOME, check=True, timeout=1200)

    told = json.loads(results.read_text())
    compared = {(each["who"], each["route"]) for each in told["measured"] if each["part"] == "compare"}
    for who in ("rowboat", "flask", "fastapi", "django"):
        assert {route for name, route in compared if name == who} >= {"articles", "feed", "tags", "comment"}
    assert told["missing"] == []
