"""The pages of `--html`, without a browser: foreign text is never markup, nothing is loaded, nothing is missing."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import jinja2
import pytest
from msgspec import structs
from tests.harness.report.html.outline import EVIL, Outline, check_harmless
from tests.harness.report.results import HOSTILE, attempt, result, run, scenario, server_testimony, step

from ftps_harness.play.runner import ScenarioResult
from ftps_harness.report.html import page
from ftps_harness.report.html import run as run_page
from ftps_harness.verdict.judgement import Judgement
from ftps_lab.testimony import Command

if TYPE_CHECKING:
    from ftps_harness.play.attempt import Attempt
    from ftps_harness.report.tally import BuildRun


def hostile_attempt() -> Attempt:
    """Every value that a server or a file name can choose is hostile."""
    told = server_testimony()
    commands = (*told.commands, Command(1, "STOR", EVIL, "clear", 553))
    return replace(
        attempt("exposed", contradictions=(EVIL,), stdout=EVIL.encode() + HOSTILE, stderr=EVIL.encode()),
        rc=EVIL,
        start_up={f"~/{EVIL}": EVIL.encode()},
        testimony=replace(told, commands=commands),
    )


def hostile_run() -> BuildRun:
    of = structs.replace(scenario("area/evil"), title=EVIL, why=EVIL)
    evil_step = step(of, Judgement("fail", (EVIL,)), hostile_attempt())
    return run(ScenarioResult(of, "fail", (replace(evil_step, title=EVIL),), why=EVIL, seconds=1.0))


def test_foreign_text_is_escaped() -> None:
    """Hostile text in every field is shown as text and adds no element."""
    check_harmless(run_page.text([hostile_run()]))


def test_page_loads_nothing_and_allows_only_its_own_script() -> None:
    text = run_page.text([run(result("fail"), result())])
    outline = Outline(text)
    named = [value for _, name, value in outline.attributes if name in {"src", "href", "action", "data", "srcset"}]
    assert [value for value in named if not value.startswith(("#", "data:,"))] == []
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest", text)
    (policy,) = [value for _, name, value in outline.attributes if name == "content" and "default-src" in value]
    assert policy.startswith("default-src 'none'; ")
    assert "script-src 'sha256-" in policy
    assert "unsafe-inline" not in policy.partition("script-src")[2]


def test_ids_are_unique() -> None:
    text = run_page.text([run(result("fail"), result()), run(result("error"))])
    ids = Outline(text).ids
    assert len(ids) == len(set(ids)) > 3


def test_missing_template_value_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError):
        page.render("run.html.j2", title="x")


def test_each_status_is_shown_as_a_word() -> None:
    said = Outline(run_page.text([run(result("pass"), result("fail"), result("error"), result("skip", why="no"))])).said
    for word in ("Passed", "Failed", "Error", "Skipped"):
        assert word in said


@pytest.mark.parametrize(
    ("statuses", "answer"),
    [
        (["pass", "pass"], "As expected: 2 of 2 scenarios passed"),
        (["pass", "skip"], "As expected: 1 of 2 scenarios passed, 1 skipped"),
        (["pass", "fail", "error"], "Not as expected: 1 failed and 1 could not be judged, of 3 scenarios"),
        (["skip"], "Nothing was proved: 0 passed, 0 failed, 0 errors, 1 skipped"),
        (["fail"], "Not as expected: 1 failed, of 1 scenario"),
        ([], "Nothing was proved: 0 passed, 0 failed, 0 errors, 0 skipped"),
    ],
)
def test_heading_is_the_answer(statuses: list[str], answer: str) -> None:
    text = run_page.text([run(*(result(status) for status in statuses))])
    assert re.search(rf"<h1>.*{re.escape(answer)}</h1>", text)


def test_failed_scenario_shows_its_evidence_and_rerun_command() -> None:
    made = run(result("fail"), again={"area/case": "x.scenario.toml"}, options=("--timeout", "5"))
    said = Outline(run_page.text([made])).said
    for wanted in (
        "expected rejected: expired, untrusted",
        "it was otherwise",
        "set ssl:ca-file x",
        "ls: \\x1b[31mred",
        "control connection 1, from port 40001, 220 sent",
        "payload readable: yes",
        "ftps-lab run x.scenario.toml --lftp '/opt/lftp 4.9/lftp' --timeout 5",
    ):
        assert wanted in said


def test_failed_scenario_is_open_and_passed_one_is_folded() -> None:
    text = run_page.text([run(result("fail"), result("pass"))])
    opened = re.findall(r'<details class="result (\w+)"[^>]*?( open)?>', text)
    assert opened == [("fail", " open"), ("pass", "")]


def test_interrupted_run_shows_how_many_scenarios_ran() -> None:
    text = run_page.text([run(result(), total=5, interrupted=True)])
    assert "interrupted: 1 of 5 scenarios ran" in text
    assert "Interrupted: 1 of 5 scenarios passed</h1>" in text


def test_build_that_proved_nothing_is_the_answer() -> None:
    text = run_page.text([run(result()), run(result("skip", why="no"))])
    assert "Nothing was proved with lftp 4.9.2: 1 passed, 0 failed, 0 errors, 1 skipped</h1>" in text


def test_commands_import_no_template_engine_and_no_browser() -> None:
    """Other commands must not wait for jinja2 and playwright to load."""
    code = (
        "import sys, ftps_harness.cli.run, ftps_harness.cli.verify, ftps_harness.cli.matrix, ftps_harness.cli.pin_check"
    )
    said = "print([name for name in ('jinja2', 'playwright') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{said}"], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
