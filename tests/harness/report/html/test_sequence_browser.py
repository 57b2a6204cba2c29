"""Sequence diagrams in a real browser: no text overlaps another or leaves its picture, on a phone or a projector."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.harness.report.html.test_sequence import play_scenario
from tests.harness.report.results import run as build_run

from ftps_harness.report.html import run as run_page

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser

    from ftps_harness.client.lftp import Lftp

pytestmark = [pytest.mark.browser, pytest.mark.lftp]

SCENARIOS = ("attack/intercept-copy", "attack/strip-auth", "document/pinned-certificate-connects", "attack/refuse-prot")

MISPLACED = """() => {
  const found = [];
  for (const picture of document.querySelectorAll('svg.diagram')) {
    const texts = [...picture.querySelectorAll('text')].map(each => [each.textContent, each.getBBox()]);
    texts.forEach(([text, box], index) => {
      if (box.x < -0.5 || box.x + box.width > picture.viewBox.baseVal.width + 0.5) found.push('outside: ' + text);
      for (const [other, beside] of texts.slice(index + 1)) {
        const wide = Math.min(box.x + box.width, beside.x + beside.width) - Math.max(box.x, beside.x);
        const high = Math.min(box.y + box.height, beside.y + beside.height) - Math.max(box.y, beside.y);
        if (wide > 1 && high > 4) found.push('on each other: ' + text + ' / ' + other);
      }
    });
  }
  return found;
}"""


def test_diagram_texts_do_not_overlap_and_stay_inside(client: Lftp, browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_text(run_page.text([build_run(*(play_scenario(name, client) for name in SCENARIOS))]), "utf-8")
    for width in (390, 1280):
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.goto(file.as_uri())
        page.evaluate("document.querySelectorAll('details.result').forEach(each => { each.open = true; })")
        assert page.locator("svg.diagram").count() > 15
        assert page.evaluate(MISPLACED) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.locator("svg.diagram a").nth(3).click()
        assert page.locator("li:target").count() == 1
        page.close()
