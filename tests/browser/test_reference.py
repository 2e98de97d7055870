"""The page at / and the API reference at /docs, in a browser."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import PHONE, colours, require_accessible, require_no_horizontal_scrolling, watched

pytestmark = pytest.mark.slow

LISTING = "#operations-Articles-articles-list-articles"

# What Swagger UI 5 does wrong itself (https://github.com/swagger-api/swagger-ui/issues/7350).
OF_THE_VIEWER = {
    "nested-interactive": "the line of an operation is a button that holds a link",
    "scrollable-region-focusable": "its examples of answers cannot be scrolled with the keyboard alone",
}


def open_reference(page, path="/docs"):
    """Open /docs, and wait until the viewer has drawn it."""
    page.goto(path)
    expect(page.locator(".opblock").first).to_be_visible()


def test_what_a_page_does_wrong_is_noticed(browser, server):
    page = browser.new_page()
    problems = watched(page, f"http://127.0.0.1:{server.port}/")
    page.goto(f"http://127.0.0.1:{server.port}/")
    assert problems == []

    page.evaluate("console.error('oh')")
    with page.expect_event("pageerror"):
        page.evaluate("setTimeout(() => { throw new Error('no') })")
    page.goto("about:blank")
    page.evaluate("fetch('http://127.0.0.1:1/').catch(() => 0)")
    page.close()

    assert "error in the console: oh" in problems
    assert "an exception: no" in problems
    assert "a request to http://127.0.0.1:1/" in problems


def test_the_root_leads_to_the_reference_and_to_the_document(page):
    page.goto("/")
    page.get_by_role("link", name="API reference").click()

    expect(page).to_have_title("API reference · Rowboat")
    expect(page.locator(".opblock")).to_have_count(31)


def test_an_operation_shows_how_to_call_it_and_the_sql_behind_it(page, server):
    open_reference(page)
    page.locator(f"{LISTING} .opblock-summary-control").click()

    samples = page.locator(f"{LISTING} .samples")
    expect(samples).to_contain_text(f"curl 'http://127.0.0.1:{server.port}/api/articles?tag=boats&limit=5'")
    find = samples.locator("details", has_text="sql/articles/find.sql")
    expect(find.locator("pre")).to_be_hidden()
    find.locator("summary").click()
    expect(find.locator("pre")).to_contain_text("SELECT")


def test_a_request_is_tried_with_a_token(page, server):
    token = server.token("rower")
    open_reference(page, "/docs#/Users/users-read")
    page.get_by_role("button", name="Authorize").first.click()
    page.get_by_label("Value:").fill(f"Token {token}")
    page.get_by_role("button", name="Apply credentials").click()
    page.get_by_role("button", name="Close").first.click()

    page.get_by_role("button", name="Try it out").click()
    page.get_by_role("button", name="Execute").click()

    answer = page.locator(".live-responses-table .response")
    expect(answer.first).to_contain_text("200")
    expect(answer.first).to_contain_text("rower@example.org")


def test_a_request_with_a_body_is_tried_with_its_example(page):
    open_reference(page, "/docs#/Users/users-register")
    page.get_by_role("button", name="Try it out").click()
    page.get_by_role("button", name="Execute").click()

    answer = page.locator(".live-responses-table .response").first
    expect(answer).to_contain_text("201")
    expect(answer).to_contain_text("grace@example.org")


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_who_prefers_the_dark_gets_it(page, path):
    page.goto(path)
    light = colours(page, "body")
    page.emulate_media(color_scheme="dark")
    dark = colours(page, "body")

    assert light[0] != dark[0]
    assert light[1] != dark[1]


def test_the_viewer_is_dark_too(page):
    open_reference(page)
    light = colours(page, ".swagger-ui .info .title")
    page.emulate_media(color_scheme="dark")

    assert colours(page, ".swagger-ui .info .title") != light


def test_on_a_phone_nothing_is_scrolled_sideways(page):
    page.set_viewport_size(PHONE)
    page.goto("/")
    require_no_horizontal_scrolling(page)
    open_reference(page, "/docs#/Articles/articles-list-articles")
    expect(page.locator(f"{LISTING} .samples")).to_be_visible()
    require_no_horizontal_scrolling(page)


def test_the_reference_is_reached_by_keyboard(page):
    open_reference(page)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the reference")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#viewer")).to_be_focused()
    page.keyboard.press("Tab")

    expect(page.locator("#viewer").get_by_role("link").first).to_be_focused()


def test_nothing_of_ours_keeps_anybody_out(page):
    page.goto("/")
    require_accessible(page)
    open_reference(page, "/docs#/Articles/articles-list-articles")
    page.locator(f"{LISTING} .samples summary").first.click()
    for ours in "body > header", ".samples", "body > footer":
        require_accessible(page, include=ours)


def test_the_viewer_keeps_nobody_out_beyond_what_is_known_of_it(page):
    open_reference(page, "/docs#/Articles/articles-list-articles")
    require_accessible(page, without=OF_THE_VIEWER)
