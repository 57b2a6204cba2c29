"""Pages of each kind for the tests in a real browser."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.harness.report.html import pages

from ftps_harness.play.runner import Options, run_scenario
from ftps_harness.report.tally import BuildRun
from ftps_harness.scenario import selection

if TYPE_CHECKING:
    from pathlib import Path

    from ftps_harness.client.lftp import Lftp

SCENARIOS = (
    "attack/intercept-copy",
    "attack/refuse-auth",
    "document/expired",
    "document/rotation-looks-like-tampering",
)
"""A real run for the pages: an interceptor, a downgrade, a wrong date, a new certificate."""


@pytest.fixture(scope="session")
def real_run(client: Lftp) -> BuildRun:
    """A few scenarios, really played, and one of them again with an expectation that it does not meet."""
    scenarios = selection.load_all(selection.choose(SCENARIOS), ())
    results = [run_scenario(each, client, Options()) for each in scenarios]
    return BuildRun(client, (*results, pages.with_unmet_expectation(results[0])), len(results) + 1, 9.0)


@pytest.fixture(scope="session")
def page_files(tmp_path_factory: pytest.TempPathFactory, real_run: BuildRun) -> dict[str, Path]:
    """Name → a page of each kind, from a real run and from hostile text."""
    folder = tmp_path_factory.mktemp("pages")
    files = {}
    for name, text in pages.texts(real_run, folder).items():
        files[name] = folder / f"{name}.html"
        files[name].write_text(text, "utf-8")
    return files


@pytest.fixture(scope="session")
def page_of_1000_results(tmp_path_factory: pytest.TempPathFactory, real_run: BuildRun) -> Path:
    """A page of 1,000 results, 40 of them failed: the real results, repeated."""
    *passed, failed = real_run.results
    repeated = (*(failed,) * 40, *(passed * 1000)[:960])
    path = tmp_path_factory.mktemp("pages") / "thousand.html"
    path.write_text(pages.run_page(replace(real_run, results=repeated, total=1000)), "utf-8")
    return path
