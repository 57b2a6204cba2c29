"""The documentation site in a real browser: no request to another host, no error, and the player plays."""

from __future__ import annotations

import functools
import http.server
import json
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from documentation.build import ROOT, Demo, build

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

CHAPTERS = ("1. The first", "2. The second")
PAGES = ("index", "demo", "reference", "refusals/index", "refusals/untrusted", "lesson-plan")


def _events() -> list[tuple[float, str, str]]:
    lines = []
    for number, title in enumerate(CHAPTERS):
        at = number * 60.0
        lines += [(at, "m", title), (at, "o", f"\x1b[1;7m {title} \x1b[0m\r\n")]
        lines += [(at + second / 2, "o", f"chapter {number + 1}, line {second}\r\n") for second in range(1, 100)]
    return lines


DEMO = Demo(
    "lftp 4.9.2",
    "\n".join(map(json.dumps, [{"version": 2}, *_events()])),
    "# Played\n\n" + "\n\n".join(f"## {title}\n\nwords" for title in CHAPTERS) + "\n",
)


@dataclass
class Visit:
    """A page, with the foreign requests and the errors that it caused."""

    page: Page
    foreign_requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The site, served on loopback."""
    work = tmp_path_factory.mktemp("site")
    assert build(ROOT, work, DEMO) == 0
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(_Quiet, directory=work / "site")
    ) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Log nothing."""


@pytest.fixture
def visit(browser: Browser, address: str) -> Iterator[Visit]:
    context = browser.new_context(base_url=f"{address}/", viewport={"width": 1280, "height": 900})
    found = Visit(context.new_page())
    ours = (f"{address}/", "data:", "blob:")
    found.page.on(
        "request", lambda request: None if request.url.startswith(ours) else found.foreign_requests.append(request.url)
    )
    found.page.on("console", lambda message: found.errors.append(message.text) if message.type == "error" else None)
    found.page.on("pageerror", lambda error: found.errors.append(str(error)))
    yield found
    context.close()


@pytest.mark.parametrize("name", PAGES)
def test_page_has_no_foreign_requests_and_no_errors(name: str, visit: Visit) -> None:
    visit.page.goto(f"{name}.html", wait_until="networkidle")
    assert (visit.foreign_requests, visit.errors) == ([], [])


def test_foreign_requests_and_errors_are_noticed(visit: Visit) -> None:
    visit.page.goto("index.html")
    visit.page.evaluate("new Image().src = 'http://127.0.0.2:9/x.png'; console.error('so it is')")
    visit.page.wait_for_function("true")
    assert visit.foreign_requests == ["http://127.0.0.2:9/x.png"]
    assert "so it is" in visit.errors


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("width", [390, 768, 1920])
def test_page_is_never_wider_than_the_window(name: str, width: int, visit: Visit) -> None:
    visit.page.set_viewport_size({"width": width, "height": 900})
    visit.page.goto(f"{name}.html")
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("look", ["light", "dark"])
def test_player_and_transcript_are_accessible(look: str, browser: Browser, address: str) -> None:
    """axe-core checks our own parts, not the theme's header and navigation."""
    from axe_playwright_python.sync_playwright import Axe

    context = browser.new_context(color_scheme="light" if look == "light" else "dark")
    page = context.new_page()
    page.goto(f"{address}/demo.html", wait_until="networkidle")
    found = Axe().run(page, context=".cast").response["violations"]
    context.close()
    assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found] == []


def test_long_messages_wrap_within_their_block(visit: Visit) -> None:
    """lftp's lines are longer than a page is wide."""
    visit.page.goto("refusals/untrusted.html")
    blocks = visit.page.locator(".language-text code")
    assert blocks.count() >= 3
    for block in blocks.all():
        assert block.evaluate("each => each.scrollWidth <= each.clientWidth")


def test_search_works_without_foreign_requests(visit: Visit) -> None:
    visit.page.goto("index.html", wait_until="networkidle")
    visit.page.get_by_role("textbox", name="Search").click()
    visit.page.keyboard.type("impostor", delay=20)
    visit.page.locator(".md-search-result__item").first.wait_for()
    assert (visit.foreign_requests, visit.errors) == ([], [])


class TestDemoPlayer:
    @pytest.fixture
    def page(self, visit: Visit) -> Page:
        visit.page.goto("demo.html")
        return visit.page

    def screen_text(self, page: Page) -> str:
        return page.locator(".cast pre").inner_text()

    def test_player_does_not_start_by_itself(self, page: Page) -> None:
        before = self.screen_text(page)
        page.wait_for_timeout(700)
        assert self.screen_text(page) == before
        assert page.get_by_role("button", name="Play").is_visible()

    def test_player_plays_at_speed_and_pauses(self, page: Page) -> None:
        before = len(self.screen_text(page))
        page.get_by_label("Speed").select_option("4")
        page.get_by_role("button", name="Play").click()
        page.wait_for_function(f"document.querySelector('.cast pre').textContent.length > {before} + 100")
        page.get_by_role("button", name="Pause").click()
        still = self.screen_text(page)
        page.wait_for_timeout(700)
        assert self.screen_text(page) == still

    def test_chapter_is_shown_whole_and_alone(self, page: Page) -> None:
        page.get_by_label("Chapter").select_option(label=CHAPTERS[1])
        text = self.screen_text(page)
        assert "chapter 2, line 99" in text
        assert "chapter 1" not in text

    def test_player_works_by_keyboard(self, page: Page) -> None:
        page.locator(".cast pre").focus()
        page.keyboard.press("n")
        assert "chapter 2, line 99" in self.screen_text(page)
        page.keyboard.press("p")
        assert "chapter 1, line 99" in self.screen_text(page)
        for _ in range(3):
            page.keyboard.press("ArrowLeft")  # to second 45
        assert "chapter 1, line 89" in self.screen_text(page)
        assert "chapter 1, line 91" not in self.screen_text(page)
        page.keyboard.press("Space")
        assert page.get_by_role("button", name="Pause").is_visible()

    def test_position_slider_shows_the_text_at_its_time(self, page: Page) -> None:
        page.get_by_label("Position").fill("10")
        assert "chapter 1, line 20" in self.screen_text(page)
        assert "chapter 1, line 21" not in self.screen_text(page)
        assert page.get_by_label("Position").get_attribute("aria-valuetext") == "0:10 of 1:49"

    def test_reduced_motion_shows_the_first_chapter_whole(self, browser: Browser, address: str) -> None:
        context = browser.new_context(reduced_motion="reduce")
        page = context.new_page()
        page.goto(f"{address}/demo.html")
        text = self.screen_text(page)
        context.close()
        assert "chapter 1, line 99" in text

    def test_transcript_is_shown_without_javascript(self, browser: Browser, address: str) -> None:
        context = browser.new_context(java_script_enabled=False)
        page = context.new_page()
        page.goto(f"{address}/demo.html")
        text = page.locator("body").inner_text()
        context.close()
        assert "The transcript below has everything." in text
        assert all(title in text for title in CHAPTERS)
