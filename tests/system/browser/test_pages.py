"""The page at /, the API reference at /docs and the pages under /study, in a browser."""

import pytest
from playwright.sync_api import expect

import app
from tests.system.browser.conftest import require_usable

LISTING = "#operations-Articles-articles-list-articles"

# One study page of each kind.
STUDY = [
    "/study",
    "/study/sql/articles/find?tag=boats&author~null=on&favorited~null=on&before=1000&limit=5&offset=0&~run=1",
    "/study/sql/articles/favorite",
    "/study/tables/articles",
    "/study/schema/0005_tags",
    "/study/journey?path=/api/articles?tag=boats",
    "/study/source/handlers/articles.py",
]

# Known faults of Swagger UI 5 (https://github.com/swagger-api/swagger-ui/issues/7350).
FAULTS_OF_THE_VIEWER = {
    "nested-interactive": "the line of an operation is a button that holds a link",
    "scrollable-region-focusable": "its examples cannot be scrolled with the keyboard alone",
}


def open_reference(page, path="/docs"):
    """Open /docs, and wait until the viewer has drawn it."""
    page.goto(path)
    expect(page.locator(".opblock").first).to_be_visible()


def test_an_operation_shows_how_to_call_it_and_its_sql(page, server):
    page.goto("/")
    page.get_by_role("link", name="API reference").click()
    expect(page).to_have_title("API reference · Rowboat")
    expect(page.locator(".opblock")).to_have_count(len([*app.routes()]))
    page.locator(f"{LISTING} .opblock-summary-control").click()

    samples = page.locator(f"{LISTING} .samples")
    expect(samples).to_contain_text(f"curl 'http://127.0.0.1:{server.port}/api/articles?tag=boats&limit=5'")
    find = samples.locator("details", has_text="sql/articles/find.sql")
    expect(find.locator("pre")).to_be_hidden()
    find.locator("summary").click()
    expect(find.locator("pre")).to_contain_text("SELECT")
    page.get_by_role("link", name="Study sql/articles/find.sql").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("articles/find")


@pytest.mark.parametrize(
    ("operation", "name", "shown"),
    [("users-read", "rower", ["200", "rower@example.org"]), ("users-register", "", ["201", "grace@example.org"])],
)
def test_requests_are_sent_with_a_token_or_with_the_example_of_a_body(page, server, operation, name, shown):
    open_reference(page, f"/docs#/Users/{operation}")
    if name:
        page.get_by_role("button", name="Authorize").first.click()
        page.get_by_label("Value:").fill(f"Token {server.token(name)}")
        page.get_by_role("button", name="Apply credentials").click()
        page.get_by_role("button", name="Close").first.click()
    page.get_by_role("button", name="Try it out").click()
    page.get_by_role("button", name="Execute").click()

    for text in shown:
        expect(page.locator(".live-responses-table .response").first).to_contain_text(text)


def test_a_request_leads_to_its_sql_which_the_keyboard_reaches_and_runs(page):
    page.goto("/study")
    page.get_by_label("Which SQL answers this").fill("/api/tags")
    page.get_by_role("button", name="Send it and see").click()
    page.locator("main").get_by_role("link", name="tags/list").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("tags/list")
    page.goto("/study/sql/tags/list")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()

    run = page.get_by_role("button", name="Run", exact=True)
    for _ in range(40):
        page.keyboard.press("Tab")
        if run.evaluate("button => button === document.activeElement"):
            break
    expect(run).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#result")).to_contain_text("boats")


@pytest.mark.parametrize("path", ["/", *STUDY])
def test_a_page_is_accessible_and_fits_a_phone(page, path):
    page.goto(path)

    require_usable(page)


def test_the_reference_is_accessible_and_fits_a_phone(page):
    open_reference(page, "/docs#/Articles/articles-list-articles")
    page.locator(f"{LISTING} .samples summary").first.click()

    for ours in "body > header", ".samples", "body > footer":
        require_usable(page, include=ours)
    require_usable(page, without=FAULTS_OF_THE_VIEWER)
