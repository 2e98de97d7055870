"""The pages under /study, in a browser."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import PHONE, colours, require_accessible, require_no_horizontal_scrolling

pytestmark = pytest.mark.slow

# One page of each kind.
PAGES = [
    "/study",
    "/study/sql/articles/find",
    "/study/sql/articles/find?tag=boats&author~null=on&favorited~null=on&before=1000&limit=5&offset=0&~run=1",
    "/study/sql/articles/favorite",
    "/study/tables/articles",
    "/study/schema",
    "/study/schema/0005_tags",
    "/study/journey?path=/api/articles?tag=boats",
    "/study/source/handlers/articles.py",
]


def result(page):
    """The first row that a file answered, by column."""
    table = page.locator("#result table").first
    columns = table.locator("thead th").all_inner_texts()
    return dict(zip(columns, table.locator("tbody tr").first.locator("td").all_inner_texts(), strict=True))


def test_from_a_request_to_its_sql_its_plan_and_the_script_that_made_the_index(page):
    page.goto("/study")
    page.get_by_label("Which SQL answers this").fill("/api/articles?tag=boats")
    page.get_by_role("button", name="Send it and see").click()
    page.locator("main").get_by_role("link", name="articles/find").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("articles/find")

    page.get_by_label(":tag", exact=False).first.fill("boats")
    page.get_by_role("button", name="Run", exact=True).click()
    assert int(result(page)["total"]) > 0

    page.locator(".plan").get_by_role("link", name="article_tags (tag_id, article_id)").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("article_tags")
    page.get_by_role("link", name="0005_tags").first.click()
    expect(page.locator("pre.code").first).to_contain_text("CREATE TABLE article_tags")


def test_a_file_is_run_with_the_parameters_that_were_typed(page):
    page.goto("/study/sql/tags/list")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator("#result")).to_contain_text("boats")

    page.goto("/study/sql/profiles/render")
    page.get_by_label(":username_key").first.fill("ada")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator("#result")).to_contain_text('"username": "ada"')
    page.get_by_label(":username_key").first.fill("nobody")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator("#result")).to_contain_text("No row")


def test_what_is_no_number_is_refused_and_what_was_typed_stays(page):
    page.goto("/study/sql/articles/feed")
    page.get_by_label(":limit").first.fill("many")
    page.get_by_role("button", name="Run", exact=True).click()

    expect(page.get_by_role("alert")).to_contain_text("limit")
    expect(page.get_by_label(":limit").first).to_have_value("many")


def test_a_page_shows_the_sql_by_line_and_the_plan_in_words(page):
    page.goto("/study/sql/articles/render")
    expect(page.get_by_role("heading", name="How SQLite runs it")).to_be_visible()

    expect(page.locator("pre.numbered")).to_contain_text("SELECT json_object(")
    expect(page.locator("#L-1")).to_be_visible()
    expect(page.locator(".plan li").first).to_be_visible()


def test_links_lead_from_a_file_to_its_table_and_back(page):
    page.goto("/study/sql/tags/list")
    page.locator("main").get_by_role("link", name="tags", exact=True).last.click()
    expect(page).to_have_url(re.compile("/study/tables/tags$"))
    page.locator("main").get_by_role("link", name="tags/list").first.click()
    expect(page).to_have_url(re.compile("/study/sql/tags/list$"))


def test_the_reference_leads_to_the_pages_of_its_files(page):
    page.goto("/docs#/Tags/tags-list-tags")
    page.locator(".samples summary", has_text="sql/tags/list.sql").click()
    page.get_by_role("link", name="Study sql/tags/list.sql").click()

    expect(page.get_by_role("heading", level=1)).to_contain_text("tags/list")


def test_who_prefers_the_dark_gets_it(page):
    page.goto("/study/sql/articles/find")
    light = [colours(page, selector) for selector in ("body", "pre.code")]
    page.emulate_media(color_scheme="dark")
    dark = [colours(page, selector) for selector in ("body", "pre.code")]

    for one, other in zip(light, dark, strict=True):
        assert one[0] != other[0]
        assert one[1] != other[1]


@pytest.mark.parametrize("path", PAGES)
def test_on_a_phone_nothing_is_scrolled_sideways(page, path):
    page.set_viewport_size(PHONE)
    page.goto(path)

    require_no_horizontal_scrolling(page)


def test_the_keyboard_reaches_the_content_and_runs_a_file(page):
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


@pytest.mark.parametrize("path", PAGES)
def test_the_pages_keep_nobody_out(page, path):
    page.goto(path)

    require_accessible(page)
