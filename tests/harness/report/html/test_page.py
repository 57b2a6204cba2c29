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
from tests.harness.report.results import HOSTILE, attempt, result, run, scenario, step, told_by_the_server

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
    told = told_by_the_server()
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


def test_foreign_text_is_never_markup() -> None:
    """A page of hostile text has the same elements as a page of harmless text, and shows the text."""
    check_harmless(run_page.text([hostile_run()]))


def test_it_loads_nothing_and_runs_no_script_but_its_own() -> None:
    text = run_page.text([run(result("fail"), result())])
    outline = Outline(text)
    named = [value for _, name, value in outline.attributes if name in {"src", "href", "action", "data", "srcset"}]
    assert [value for value in named if not value.startswith(("#", "data:,"))] == []
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest", text)
    (policy,) = [value for _, name, value in outline.attributes if name == "content" and "default-src" in value]
    assert policy.startswith("default-src 'none'; ")
    assert "script-src 'sha256-" in policy
    assert "unsafe-inline" not in policy.partition("script-src")[2]


def test_every_id_is_there_once() -> None:
    text = run_page.text([run(result("fail"), result()), run(result("error"))])
    ids = Outline(text).ids
    assert len(ids) == len(set(ids)) > 3


def test_a_value_that_is_missing_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError):
        page.render("run.html.j2", title="x")


def test_each_status_stands_in_words() -> None:
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
def test_the_answer_comes_first(statuses: list[str], answer: str) -> None:
    text = run_page.text([run(*(result(status) for status in statuses))])
    assert re.search(rf"<h1>.*{re.escape(answer)}</h1>", text)


def test_a_failed_scenario_has_its_evidence_and_the_line_that_runs_it_again() -> None:
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


def test_a_failed_scenario_is_open_and_a_passed_one_is_closed() -> None:
    text = run_page.text([run(result("fail"), result("pass"))])
    opened = re.findall(r'<details class="result (\w+)"[^>]*?( open)?>', text)
    assert opened == [("fail", " open"), ("pass", "")]


def test_an_interrupted_run_says_how_far_it_came() -> None:
    text = run_page.text([run(result(), total=5, interrupted=True)])
    assert "interrupted: 1 of 5 scenarios ran" in text
    assert "Interrupted: 1 of 5 scenarios passed</h1>" in text


def test_of_several_builds_each_must_prove_something() -> None:
    text = run_page.text([run(result()), run(result("skip", why="no"))])
    assert "Nothing was proved with lftp 4.9.2: 1 passed, 0 failed, 0 errors, 1 skipped</h1>" in text


def test_no_other_command_pays_for_the_pages() -> None:
    """Only a page loads jinja2 and the browser's driver."""
    code = (
        "import sys, ftps_harness.cli.run, ftps_harness.cli.verify, ftps_harness.cli.matrix, ftps_harness.cli.pin_check"
    )
    said = "print([name for name in ('jinja2', 'playwright') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{said}"], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
