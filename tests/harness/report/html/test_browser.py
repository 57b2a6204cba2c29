"""The pages of `--html` in a real browser: accessible, self-contained, readable without a script, fast."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Dialog, Page

    Open = Callable[..., "Visit"]
    Files = dict[str, Path]

pytestmark = pytest.mark.browser

PAGES = (
    *("run", "run-hostile", "run-made-up"),
    *("verify", "verify-several", "verify-hostile"),
    "pin-check",
    *("matrix", "matrix-hostile"),
)

LOOKS = ("light", "dark", "print")

WIDTHS = (390, 768, 1280, 1920)

BAD = """<!doctype html><html><head><title></title><style>body { color: #999; background: #aaa }
@media print { body { color: #999; background: #aaa } }</style></head>
<body><img src="data:,"><input><p>grey on grey</p><button></button></body></html>"""
"""No language, no title, no text for an image, a field and a button, and low contrast."""

SECOND = 1.0


@dataclass
class Visit:
    """An open page and its requests and messages."""

    page: Page
    requests: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def dismissed(self, dialog: Dialog) -> None:
        """Record and close a dialog, which only a foreign script opens."""
        self.said.append(dialog.message)
        dialog.dismiss()

    def open_everything(self) -> None:
        """Open every folded part: only visible parts are checked."""
        self.page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")

    def violations(self) -> list[str]:
        """The violations that axe-core finds, with their places."""
        from axe_playwright_python.sync_playwright import Axe

        found = Axe().run(self.page).response["violations"]
        return [f"{each['id']}: {node['target']} {node['html'][:120]}" for each in found for node in each["nodes"]]


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """Opens files, each in a new browser."""
    contexts = []

    def opened(
        path: Path, look: Literal["light", "dark", "print"] = "light", *, width: int = 1280, script: bool = True
    ) -> Visit:
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if look == "dark" else "light",
            java_script_enabled=script,
        )
        contexts.append(context)
        made = Visit(context.new_page())
        made.page.on("request", lambda request: made.requests.append(request.url))
        made.page.on("console", lambda message: made.said.append(message.text))
        made.page.on("pageerror", lambda error: made.said.append(str(error)))
        made.page.on("dialog", made.dismissed)
        if look == "print":
            made.page.emulate_media(media="print")
        made.page.goto(path.as_uri())
        return made

    yield opened
    for context in contexts:
        context.close()


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_no_violation(name: str, look: Any, page_files: Files, open_page: Open) -> None:
    made = open_page(page_files[name], look)
    made.open_everything()
    assert made.violations() == []


@pytest.mark.parametrize("look", LOOKS)
def test_axe_finds_the_violations_of_a_bad_page(look: Any, tmp_path: Path, open_page: Open) -> None:
    """Proves that the check above can fail, in each colour scheme."""
    (tmp_path / "bad.html").write_text(BAD)
    rules = {each.partition(":")[0] for each in open_page(tmp_path / "bad.html", look).violations()}
    assert {"image-alt", "label", "button-name", "html-has-lang", "document-title", "color-contrast"} <= rules


@pytest.mark.parametrize("script", [True, False], ids=["script", "no-script"])
@pytest.mark.parametrize("name", PAGES)
def test_page_requests_nothing_and_logs_nothing(name: str, script: bool, page_files: Files, open_page: Open) -> None:
    """Dialogs count as messages, so no code of a hostile page runs."""
    made = open_page(page_files[name], script=script)
    made.page.wait_for_timeout(100)
    assert made.requests == [page_files[name].as_uri()]
    assert made.said == []


def test_content_security_policy_blocks_injected_markup(page_files: Files, tmp_path: Path, open_page: Open) -> None:
    """Even if text became markup, only the page's own script would run, and no picture would load."""
    markup = '<script>alert(1)</script><img src="http://127.0.0.1:9/x" alt="" onerror="alert(2)">'
    (tmp_path / "broken.html").write_text(page_files["run"].read_text().replace("</main>", f"{markup}</main>"))
    made = open_page(tmp_path / "broken.html")
    made.page.wait_for_timeout(200)
    assert len(made.said) >= 2
    assert all("Content Security Policy" in each for each in made.said)
    assert made.page.locator(".toolbar").is_visible()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", PAGES)
def test_page_never_scrolls_sideways(name: str, width: int, page_files: Files, open_page: Open) -> None:
    made = open_page(page_files[name], width=width)
    made.open_everything()
    widths = made.page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert widths[0] <= widths[1]


class TestWithoutScript:
    def test_folded_parts_open_without_script(self, page_files: Files, open_page: Open) -> None:
        """<details> needs no script."""
        page = open_page(page_files["run"], script=False).page
        passed = page.locator(".result.pass").first
        assert not passed.locator(".step").first.is_visible()
        passed.locator("summary").first.click()
        passed.locator(".evidence > summary").first.click()
        assert passed.get_by_text("the wire's account").first.is_visible()
        assert page.locator(".result.fail .evidence pre").first.is_visible()

    @pytest.mark.parametrize("name", PAGES)
    def test_controls_that_need_a_script_are_hidden(self, name: str, page_files: Files, open_page: Open) -> None:
        page = open_page(page_files[name], script=False).page
        assert not page.locator("button:visible, input:visible, .keys:visible").count()


class TestSearchAndFilter:
    def test_search_hides_results_that_do_not_match(self, page_files: Files, open_page: Open) -> None:
        page = open_page(page_files["run"]).page
        everything = page.locator(".result:visible").count()
        page.locator("#find").fill("EXPIRED document/")
        assert page.locator(".result:visible").count() == 1
        assert page.locator("#shown").inner_text() == f"1 of {everything} scenarios shown"

    def test_filter_hides_results_of_a_status(self, page_files: Files, open_page: Open) -> None:
        page = open_page(page_files["run"]).page
        page.locator("input[value=pass]").uncheck()
        assert page.locator(".result:visible").count() == page.locator(".result.fail").count() == 1

    @pytest.mark.parametrize("name", ["verify", "pin-check", "matrix"])
    def test_search_works_on_every_kind_of_page(self, name: str, page_files: Files, open_page: Open) -> None:
        page = open_page(page_files[name]).page
        page.locator("#find").fill("no result is called so")
        assert page.locator(".result:visible").count() == 0
        page.locator("#find").fill("")
        assert page.locator(".result:visible").count() == page.locator(".result").count() > 0


class TestKeyboard:
    def test_tab_reaches_the_results_and_enter_opens_one(self, page_files: Files, open_page: Open) -> None:
        """Tab from the top reaches the skip link first, then every field, then a result, which Enter opens."""
        page = open_page(page_files["run"]).page
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Enter")
        for _ in range(40):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.matches('.result.pass > summary')"):
                break
        opened = "document.activeElement.parentElement.open"
        assert page.evaluate(opened) is False
        page.keyboard.press("Enter")
        assert page.evaluate(opened) is True

    def test_documented_keys_work(self, page_files: Files, open_page: Open) -> None:
        page = open_page(page_files["run"]).page
        named = page.locator(".keys kbd").all_text_contents()
        assert named == ["/", "Esc", "j", "k", "o", "a", "?"]
        page.keyboard.press("/")
        assert page.evaluate("document.activeElement.id") == "find"
        page.keyboard.type("ja?")
        assert page.locator("#find").input_value() == "ja?"
        page.keyboard.press("Escape")
        assert page.locator("#find").input_value() == ""
        order = page.locator(".result").evaluate_all("all => all.map(each => each.id)")
        here = "document.activeElement.closest('.result').id"
        page.keyboard.press("j")
        page.keyboard.press("j")
        assert page.evaluate(here) == order[1]
        page.keyboard.press("k")
        assert page.evaluate(here) == order[0]
        was = page.evaluate("document.activeElement.closest('.result').open")
        page.keyboard.press("o")
        assert page.evaluate("document.activeElement.closest('.result').open") is not was
        page.keyboard.press("a")
        assert page.locator(".result[open]").count() == len(order)
        page.keyboard.press("?")
        assert page.locator(".keys ul").is_visible()

    def test_letter_keys_can_be_switched_off(self, page_files: Files, open_page: Open) -> None:
        """Speech input types letters (WCAG 2.1.4)."""
        page = open_page(page_files["run"]).page
        page.keyboard.press("?")
        page.locator("#keys-on").uncheck()
        page.keyboard.press("/")
        assert page.evaluate("document.activeElement.id") != "find"

    @pytest.mark.parametrize("name", PAGES)
    def test_scrollable_parts_can_be_focused(self, name: str, page_files: Files, open_page: Open) -> None:
        made = open_page(page_files[name], width=390)
        made.open_everything()
        unreachable = made.page.evaluate(
            "[...document.querySelectorAll('pre, .scroll')].filter(each => each.tabIndex < 0 &&"
            " (each.scrollWidth > each.clientWidth || each.scrollHeight > each.clientHeight)).length"
        )
        assert unreachable == 0


def test_link_to_a_step_opens_its_folded_result(page_files: Files, open_page: Open) -> None:
    made = open_page(page_files["run"])
    step = made.page.locator(".result.pass .step").first
    assert not step.is_visible()
    made.page.evaluate("id => { location.hash = id }", step.get_attribute("id"))
    step.wait_for(state="visible", timeout=2000)


def test_page_of_1000_results_opens_in_under_a_second(page_of_1000_results: Path, browser: Browser) -> None:
    """The page holds all results with their evidence, each with a diagram.

    Measured as CPU seconds for reading, layout and painting, the best of ten: the machine may be busy.
    """
    assert any(0 < _seconds_to_open(page_of_1000_results, browser) < SECOND for _ in range(10))


def _seconds_to_open(path: Path, browser: Browser) -> float:
    page = browser.new_page()
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.goto(path.as_uri())
    metrics = {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}
    assert page.locator(".result").count() == 1000
    assert page.locator(".result:has(svg.diagram)").count() == 1000
    page.close()
    return float(metrics["TaskDuration"])
