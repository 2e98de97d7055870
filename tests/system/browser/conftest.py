"""Debian's Chromium, driven by Playwright, on a real server with demo content.

A test fails if its page logs a warning or an error, or sends a request to another host."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import HOME
from tests.system.test_server import Server, environment, serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@contextmanager
def serving_demo(folder: Path, users: int = 20, articles: int = 100) -> Iterator[Server]:
    """A server in study mode with this much demo content."""
    database = folder / "data" / "rowboat.db"
    seed = ["seed", "--users", str(users), "--articles", str(articles), "--database", str(database)]
    subprocess.run(
        [sys.executable, str(HOME / "app.py"), *seed], cwd=folder, env=environment(), check=True, capture_output=True
    )
    with serving(folder, "--workers", "1", ROWBOAT_STUDY="on") as running:
        yield running


@contextmanager
def chromium(program: str) -> "Iterator[Browser]":
    """The browser. It resolves no host but this machine."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=60_000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program,
            args=["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--disable-gpu"],
        )
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests."""
    with serving_demo(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """The browser. Per module: Playwright's event loop would disturb other tests that use asyncio."""
    program = shutil.which("chromium")
    if not program:
        pytest.skip("the program chromium is missing (Debian's package chromium)")
    with chromium(program) as started:
        yield started


@pytest.fixture
def page(browser: "Browser", server: Server) -> "Iterator[Page]":
    """A new page, whose paths are those of the server. Its warnings, errors and requests to other hosts are faults."""
    home = f"http://127.0.0.1:{server.port}/"
    faults: list[str] = []

    def note_message(message: Any) -> None:
        if message.type in ("error", "warning"):
            faults.append(f"{message.type} in the console: {message.text}")

    def note_request(request: Any) -> None:
        if not request.url.startswith((home, "data:")):
            faults.append(f"a request to {request.url}")

    context = browser.new_context(base_url=home)
    context.set_default_timeout(60_000)
    page = context.new_page()
    page.on("console", note_message)
    page.on("pageerror", lambda error: faults.append(f"an exception: {error}"))
    page.on("request", note_request)
    yield page
    context.close()
    assert faults == []


# Two frames later the page has its new size and colours; transitions have ended.
_DRAWN = """async () => {
    for (let frame = 0; frame < 2; frame++) await new Promise(requestAnimationFrame);
    await Promise.allSettled(document.getAnimations().map((each) => each.finished));
}"""


def require_usable(page: "Page", include: str = "html", without: dict[str, str] | None = None) -> None:
    """Fail if axe-core finds a serious problem in light colours, too little contrast in dark ones, or a phone scrolls.

    `include` limits it to elements; `without` maps the rules that are left out to the reason."""
    from axe_playwright_python.sync_playwright import Axe

    page.set_viewport_size({"width": 1280, "height": 720})
    rules = {rule: {"enabled": False} for rule in without or {}}
    for scheme, options in ("light", {"rules": rules}), ("dark", {"runOnly": ["color-contrast"], "rules": rules}):
        page.emulate_media(color_scheme=scheme)
        page.evaluate(_DRAWN)
        found = Axe().run(page, context={"include": [[include]]}, options=options).response
        assert found["passes"], "axe-core has looked at nothing"
        problems = [
            f"{scheme}: {problem['help']} ({problem['id']}): {node['html'][:200]}"
            for problem in found["violations"]
            if problem["impact"] in ("serious", "critical")
            for node in problem["nodes"]
        ]
        assert not problems, "\n".join(problems)
    page.set_viewport_size({"width": 360, "height": 740})
    page.evaluate(_DRAWN)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), f"{page.url} is too wide"
