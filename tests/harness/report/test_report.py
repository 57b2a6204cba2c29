"""A run's output for people and programs, from made-up results: table, evidence, JSON, JUnit, kept files."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import stat
import time
from typing import IO, TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest
from tests.harness.report.results import (
    BROKEN,
    FAILED,
    HOSTILE,
    LFTP,
    PASSED,
    attempt,
    result,
    run,
    scenario,
    step,
)

from ftps_harness.errors import UsageError
from ftps_harness.play.runner import ControlResult, ScenarioResult
from ftps_harness.report import json_report, junit
from ftps_harness.report.account import step_sections
from ftps_harness.report.evidence import MARK, Keeper, prepare
from ftps_harness.report.plain import cells, harmless, lines_of, plural, wrapped
from ftps_harness.report.tally import BuildRun, exit_code, summary
from ftps_harness.report.terminal import Terminal

if TYPE_CHECKING:
    from pathlib import Path


def printed(*runs: BuildRun, short: bool = False) -> str:
    """The output on a stream that is not a terminal."""
    stream = io.StringIO()
    terminal = Terminal(stream, short=short)
    for each in runs:
        terminal.header(each.lftp, each.total, "")
        for one in each.results:
            terminal.row(one)
        terminal.side_by_side(each)
        terminal.remarks(each)
        terminal.failures(each)
    terminal.close(runs)
    return stream.getvalue()


class TestTally:
    @pytest.mark.parametrize(
        ("statuses", "code"),
        [
            (["pass"], 0),
            (["pass", "skip"], 0),
            (["pass", "fail"], 1),
            (["pass", "error"], 3),
            (["fail", "error"], 3),
            (["skip", "skip"], 3),
            ([], 3),
        ],
    )
    def test_exit_code_is_that_of_the_worst_status(self, statuses: list[str], code: int) -> None:
        assert exit_code([run(*(result(status) for status in statuses))]) == code

    def test_interrupted_run_exits_130(self) -> None:
        assert exit_code([run(result("error"), interrupted=True)]) == 130

    def test_exit_code_is_that_of_the_worst_build(self) -> None:
        assert exit_code([run(result("pass")), run(result("fail"))]) == 1
        assert exit_code([run(result("fail")), run(result("skip"))]) == 3

    def test_summary_counts_all_builds_and_mentions_missing_controls(self) -> None:
        runs = [run(result("pass"), result("fail")), run(result("skip"), result("error"))]
        assert summary(runs) == "1 passed, 1 failed, 1 errors, 1 skipped in 4.0 s"
        assert summary([run(result(), controls=False)]).endswith("in 2.0 s, without controls")


class TestPlainText:
    def test_control_characters_are_escaped(self) -> None:
        assert harmless(HOSTILE) == "ls: \\x1b[31mred\\x1b[0m \\x07\\xff \\u202e reversed\\r\nsecond\n"
        assert harmless("a\tb\udcff\u2028") == "a    b\\udcff\\u2028"
        assert harmless("日本語 «ü» §") == "日本語 «ü» §"

    @pytest.mark.parametrize(
        "command",
        [
            "::error::injected",
            "::error file=x,line=1::injected",
            "  ::add-mask::x",
            "first\n::set-output name=a::b",
            ":::error::x",
            "##[error]x",
            "##vso[task.setvariable variable=a]b",
            "##teamcity[buildStatus]",
            "::warning",  # the text after it may complete the command
        ],
    )
    def test_no_line_is_a_command_to_a_ci_runner(self, command: str) -> None:
        """It holds wherever a line wraps.

        GitHub obeys a line that begins with `::name`, after blanks or not, and has `::` later; other runners look for
        `##[` anywhere. Lines wrap at any character.
        """
        shown = harmless(f"some words before it {command}") + harmless(command)
        for width in range(4, 60):
            for line in (*wrapped(shown, width), *shown.split("\n")):
                assert not re.match(r"\s*::[^:\s]", line) or "::" not in line.strip()[2:], line
        assert not re.search(r"##\w*\[", shown)
        assert not harmless(command).strip().startswith("::")

    @pytest.mark.parametrize(
        "text", ["::1", "from ::1 (::1) port 21", "ftp://[::1]:21/", "2001:db8::1", "a::b", "# x", "::"]
    )
    def test_text_that_is_not_a_ci_command_is_unchanged(self, text: str) -> None:
        assert harmless(text) == text

    @pytest.mark.long
    def test_escaping_a_megabyte_is_fast(self) -> None:
        """lftp may print at most 16 MiB of output."""
        began = time.monotonic()
        harmless("::" * (1 << 19))
        harmless("::x" * (1 << 18))
        harmless("##" * (1 << 19))
        assert time.monotonic() - began < 30

    def test_only_line_feeds_end_a_line(self) -> None:
        assert lines_of(b"a\rb\x0bc\n\nd") == ("a\\rb\\x0bc", "", "d")
        assert lines_of(b"") == ()

    @pytest.mark.parametrize(
        ("text", "width", "lines"),
        [
            ("one two three", 7, ["one two", "three"]),
            ("untrusted-by-default", 8, ["untruste", "d-by-def", "ault"]),
            ("日本語", 4, ["日本", "語"]),
            ("", 5, []),
        ],
    )
    def test_text_is_wrapped_to_its_column(self, text: str, width: int, lines: list[str]) -> None:
        assert wrapped(text, width) == lines
        assert all(cells(line) <= width for line in lines)

    @pytest.mark.parametrize(
        "path",
        ["/etc/ssl/certs/x", "~/.lftp/rc", "~me/.lftp/rc", "./here/rc", "../up", "a/b.scenario.toml", "('/tmp/x')"],
    )
    def test_path_is_never_wrapped(self, path: str) -> None:
        assert wrapped(f"see {path} there", 5) == ["see", path, "there"]


class TestTerminal:
    def test_complaint_about_the_setup_is_shown_in_a_passing_run(self) -> None:
        shown = printed(run(result("pass")))
        said = " ".join(shown.split())
        assert "only in its debug log: gnutls_priority_set_direct(\\x1b[31m): invalid" in said
        assert "Timeout" not in shown

    def test_failed_step_shows_each_complaint_once(self) -> None:
        shown = printed(run(result("fail")))
        assert shown.count("gnutls_priority_set_direct(") == shown.count("**** Timeout - reconnecting") == 1

    def test_expected_complaint_is_not_shown(self) -> None:
        of = scenario(expect='verdict = "accepted"\nmessage = "gnutls_priority"')
        shown = printed(run(ScenarioResult(of, "pass", (step(of, PASSED, attempt("accepted")),))))
        assert "gnutls" not in shown

    def test_output_that_is_not_a_terminal_is_plain_and_80_columns_wide(self) -> None:
        long = scenario("area/" + "long-" * 20, "A title that is too long for its column, with 日本語 in it", steps=3)
        text = printed(
            run(result("pass"), result("skip", why="no clock here"), ScenarioResult(long, "pass", (step(long),)))
        )
        assert "\x1b" not in text
        assert "\r" not in text
        assert all(cells(line) <= 80 for line in text.splitlines() if "long-long" not in line)
        assert all(line == line.rstrip() for line in text.splitlines())

    def test_header_names_the_lftp_build(self) -> None:
        assert printed(run()).startswith("lftp 4.9.2 at /opt/lftp 4.9/lftp, TLS by GnuTLS 3.7.9, dialect status\n")

    def test_scenario_id_is_never_wrapped(self) -> None:
        name = "area/" + "long-" * 20
        assert name in printed(run(result("pass", name)))

    def test_row_shows_the_outcome_of_each_step(self) -> None:
        of = scenario(steps=2)
        text = printed(run(ScenarioResult(of, "fail", (step(of), step(of, FAILED, attempt("accepted"), number=1)))))
        rows = [" ".join(line.split()) for line in text.splitlines()]
        assert "FAIL area/case 1 rejected: expired, 0.00" in rows
        assert "What it shows untrusted" in rows
        assert "2 accepted" in rows

    def test_step_numbers_are_right_aligned(self) -> None:
        of = scenario(steps=10)
        rows = printed(run(ScenarioResult(of, "pass", tuple(step(of, PASSED, attempt("accepted")) for _ in range(10)))))
        assert {line.index(" accepted") for line in rows.splitlines() if line.endswith(" accepted")} == {47}

    def test_counts_use_singular_and_plural(self) -> None:
        assert (plural(0, "pair"), plural(1, "pair"), plural(2, "pair")) == ("0 pairs", "1 pair", "2 pairs")
        assert "\n1 scenario\n" in printed(run(result()))

    def test_step_that_fails_with_its_control_gives_both_reasons(self) -> None:
        of = scenario()
        failed = step(of, FAILED, control=ControlResult("impostor-refused", attempt("accepted"), BROKEN))
        assert (failed.status, failed.why) == ("error", ("it was otherwise", "it hung"))

    def test_skipped_scenario_shows_its_reason(self) -> None:
        text = printed(run(result("skip", why="libfaketime is not installed")))
        assert "libfaketime is not installed" in text
        assert text.endswith("0 passed, 0 failed, 0 errors, 1 skipped in 2.0 s\n")

    def test_lab_error_is_shown_escaped(self) -> None:
        broken = result("error", steps=(), why="the server failed in its own thread:\nOSError \x1b[2J")
        assert "ERROR area/case: the server failed in its own thread:\nOSError \\x1b[2J" in printed(run(broken))

    def test_failure_shows_all_three_witnesses_and_the_rerun_command(self) -> None:
        text = printed(run(result("fail"), again={"area/case": "my file.scenario.toml"}, options=("--timeout", "5")))
        for wanted in (
            "FAIL area/case, step 1: step 1",
            "it was otherwise",
            "expected: rejected: expired, untrusted",
            "happened: accepted",
            "/usr/bin/lftp -c 'open x",
            "set ssl:ca-file x",
            "lftp ended with exit code 1 after 0.25 s",
            "ls: \\x1b[31mred",
            "(10 lines before)",
            "[7] line 29",
            "control connection 1, from port 40001, 220 sent",
            "TLSv1.3 for localhost, the server showed the certificate AB:CD:EF:01…",
            "TLS handshake failed for no name",
            "TLS alert received: fatal unknown_ca",
            "clear  234  AUTH TLS",
            "tls    no reply  USER an\\x1b[2Jna",
            "tls    login accepted: anna, secret",
            "clear  download RETR file: 3 bytes, cut short",
            "password readable: no",
            "payload readable:  yes",
            "control, port 40001: 9 bytes to the server, 10 to the client",
            "ftps-lab run 'my file.scenario.toml' --lftp '/opt/lftp 4.9/lftp' --timeout 5",
        ):
            assert wanted in text, wanted

    def test_failed_control_shows_its_own_evidence(self) -> None:
        of = scenario()
        control = ControlResult("impostor-refused", attempt("exposed", stdout=b"the control's output"), FAILED)
        text = printed(run(ScenarioResult(of, "fail", (step(of, control=control),))))
        assert "but impostor-refused:" in text
        assert "its control, impostor-refused: exposed: password to wire" in text
        assert "the control's output" in text

    def test_contradicting_witnesses_are_shown(self) -> None:
        torn = attempt("inconclusive", contradictions=("client and server disagree",))
        sections = list(step_sections(step(scenario(), BROKEN, torn)))
        told = {section.heading: section.lines for section in sections}
        assert told["the witnesses contradict each other"] == ("client and server disagree",)

    @pytest.mark.parametrize(
        ("ending", "words"),
        [
            ({"timed_out": True}, "at its time limit, killed"),
            ({"signal": 11}, "by signal 11"),
            ({}, "with exit code 1"),
        ],
    )
    def test_heading_says_how_lftp_ended(self, ending: dict[str, Any], words: str) -> None:
        sections = step_sections(step(scenario(), FAILED, attempt(**ending)))
        assert any(words in section.heading for section in sections)

    def test_repeated_step_shows_the_count_of_each_verdict(self) -> None:
        of = scenario()
        mixed = step(of, FAILED, attempt("exposed"), attempt("exposed"), attempt("rejected"))
        assert "exposed 2×, rejected 1×" in printed(run(ScenarioResult(of, "fail", (mixed,))))

    def test_failures_are_listed_just_above_the_tally(self) -> None:
        """One line for each failure: status, scenario, step, what happened. The list comes last, after all evidence."""
        broken = result("error", "area/broken", steps=(), why="no port\nmore")
        lines = printed(run(result("pass", "area/good"), result("fail"), broken)).splitlines()
        assert lines[-6:] == [
            "",
            "what failed:",
            "FAIL   area/case, step 1: step 1: accepted, expected rejected: expired, untrusted",
            "ERROR  area/broken: no port",
            "",
            "1 passed, 1 failed, 1 errors, 0 skipped in 2.0 s",
        ]
        assert "what failed" not in printed(run(result("pass")))

    def test_listed_failure_names_the_control_or_the_reason(self) -> None:
        of = scenario()
        control = ControlResult("impostor-refused", attempt("exposed"), FAILED)
        shown = printed(run(ScenarioResult(of, "fail", (step(of, control=control),))))
        words = "rejected: expired, untrusted"
        assert f"step 1: step 1: {words}, but impostor-refused: exposed: password to wire\n" in shown
        same = printed(run(ScenarioResult(of, "fail", (step(of, FAILED),))))
        assert f"step 1: step 1: {words}, but it was otherwise\n" in same

    def test_list_of_failures_names_the_build_if_there_are_several(self) -> None:
        text = printed(run(result("fail")), run(result("pass")))
        assert text.count("what failed with lftp 4.9.2 at /opt/lftp 4.9/lftp:") == 1

    def test_short_output_has_no_table_and_no_evidence(self) -> None:
        text = printed(run(result("pass", "area/good"), result("fail")), short=True)
        assert [line for line in text.splitlines() if line] == [
            "lftp 4.9.2 at /opt/lftp 4.9/lftp, TLS by GnuTLS 3.7.9, dialect status",
            "2 scenarios",
            "what failed:",
            "FAIL   area/case, step 1: step 1: accepted, expected rejected: expired, untrusted",
            "1 passed, 1 failed, 0 errors, 0 skipped in 2.0 s",
        ]

    def test_expected_exposure_is_marked_as_expected(self) -> None:
        of = scenario(expect='verdict = "exposed"')
        leaked = printed(run(ScenarioResult(of, "pass", (step(of, PASSED, attempt("exposed")),))))
        assert "as expected" in leaked.split("other lftp messages")[0]
        unexpected = printed(run(ScenarioResult(scenario(), "fail", (step(scenario(), FAILED, attempt("exposed")),))))
        assert "as expected" not in unexpected.split("FAIL area/case")[0]
        assert "as expected" not in printed(run(result("pass"))).split("other lftp messages")[0]

    def test_path_in_a_table_cell_is_never_wrapped(self) -> None:
        """The text beside it keeps its columns."""
        path = "/srv/" + "deep/" * 12 + "case.scenario.toml"
        text = printed(run(result("skip", why=f"cannot read {path}: no")))
        assert path in text
        assert any(line.split() == [path + ":"] for line in text.splitlines())

    def test_incomplete_run_says_how_many_scenarios_ran(self) -> None:
        assert "\ninterrupted: 1 of 3 scenarios ran\n" in printed(run(result(), total=3, interrupted=True))
        assert "\nstopped after the first failure (--fail-fast): 1 of 3" in printed(run(result("fail"), total=3))


class TestJson:
    def test_json_has_the_documented_keys_in_order(self) -> None:
        control = ControlResult("impostor-refused", attempt("rejected"), PASSED)
        of = scenario()
        data = json.loads(
            json_report.text([run(ScenarioResult(of, "pass", (step(of, control=control),)))], several=False)
        )
        assert list(data) == ["schema", "place", "lftp", "results", "summary"]
        assert data["schema"] == 1
        assert data["lftp"] == {"path": str(LFTP.path), "version": "4.9.2", "tls": "GnuTLS 3.7.9", "dialect": "status"}
        assert data["summary"] == {"pass": 1, "fail": 0, "error": 0, "skip": 0}
        (shown,) = data["results"]
        assert list(shown) == ["id", "status", "why_skipped", "seconds", "steps"]
        (told,) = shown["steps"]
        assert list(told) == ["title", "status", "expected", "actual", "control", "witnesses", "seconds"]
        assert told["expected"] == {
            "verdict": "rejected",
            "reasons": ["expired", "untrusted"],
            "exposed": None,
            "to": None,
            "tls": None,
            "cipher": None,
            "server_name": None,
        }
        assert told["actual"] == {
            "verdict": "rejected",
            "reasons": ["expired", "untrusted"],
            "exposed": [],
            "to": [],
            "message": "no",
        }
        assert told["control"] == {
            "kind": "impostor-refused",
            "verdict": "rejected",
            "reasons": ["expired", "untrusted"],
        }
        assert list(told["witnesses"]) == ["client", "server", "wire"]

    def test_json_contains_the_witnesses(self) -> None:
        data = json.loads(json_report.text([run(result("fail"))], several=False))
        witnesses = data["results"][0]["steps"][0]["witnesses"]
        assert witnesses["client"]["command"] == ["/usr/bin/lftp", "-c", "open x\nls"]
        assert witnesses["client"]["stderr"] == HOSTILE.decode("utf-8", "backslashreplace")
        assert witnesses["client"]["words"][0]["text"] == "ls: Fatal error: no"
        assert witnesses["server"]["commands"][0]["reply"] == 234
        assert witnesses["wire"]["payload_readable"] is True
        assert data["results"][0]["steps"][0]["why"] == ["it was otherwise"]

    def test_json_counts_the_verdicts_of_a_repeated_step(self) -> None:
        of = scenario()
        repeated = step(of, PASSED, attempt(), attempt())
        data = json.loads(json_report.text([run(ScenarioResult(of, "pass", (repeated,)))], several=False))
        assert data["results"][0]["steps"][0]["counts"] == {"rejected": 2}

    def test_json_gives_the_reason_of_skips_and_errors(self) -> None:
        runs = [run(result("skip", why="no clock"), result("error", steps=(), why="port refused"))]
        skipped, broken = json.loads(json_report.text(runs, several=False))["results"]
        assert (skipped["why_skipped"], skipped["steps"]) == ("no clock", [])
        assert (broken["why_skipped"], broken["why"]) == (None, "port refused")

    def test_json_lists_several_builds_as_runs(self) -> None:
        data = json.loads(json_report.text([run(result()), run(result())], several=True))
        assert list(data) == ["schema", "runs"]
        assert [each["summary"]["pass"] for each in data["runs"]] == [1, 1]

    def test_json_is_ascii(self) -> None:
        assert json_report.text([run(result())], several=False).isascii()


class TestJUnit:
    def test_junit_has_an_element_for_each_status(self) -> None:
        runs = [
            run(
                *(result(status, why="why" if status == "skip" else "") for status in ("pass", "fail", "error", "skip"))
            )
        ]
        root = ET.fromstring(junit.text(runs))  # noqa: S314 - we wrote this file
        suite = root[0]
        assert {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
            "tests": "4",
            "failures": "1",
            "errors": "1",
            "skipped": "1",
        }
        assert [[child.tag for child in case] for case in suite.iter("testcase")] == [
            [],
            ["failure"],
            ["error"],
            ["skipped"],
        ]
        assert {each.get("name"): each.get("value") for each in suite.iter("property")}["lftp.dialect"] == "status"

    def test_junit_contains_the_escaped_evidence(self) -> None:
        root = ET.fromstring(junit.text([run(result("fail"))]))  # noqa: S314
        failure = root.find(".//failure")
        assert failure is not None
        assert failure.get("message") == "step 1; it was otherwise"
        assert "\\x1b[31mred" in (failure.text or "")
        assert "again: ftps-lab run area/case" in (failure.text or "")


class TestKeptEvidence:
    def test_kept_evidence_is_complete_and_private(self, tmp_path: Path) -> None:
        folder = prepare(str(tmp_path / "kept"))
        keeper = Keeper(folder)
        keeper.keep(scenario(), 1, "", attempt())
        keeper.keep(scenario(), 1, "impostor-refused", attempt())
        step_folder = folder / "area/case/1"
        assert sorted(path.name for path in step_folder.iterdir()) == [
            "command",
            "lftp.log",
            "outcome.json",
            "rc",
            "stderr",
            "stdout",
            "testimony.json",
            "wire",
        ]
        assert (step_folder / "stderr").read_bytes() == HOSTILE
        assert (step_folder / "wire/01-control-to-client.bin").read_bytes() == b"to client!"
        assert json.loads((step_folder / "testimony.json").read_text())["role"] == "genuine"
        assert json.loads((step_folder / "outcome.json").read_text())["reasons"] == ["expired", "untrusted"]
        assert (folder / "area/case/1-impostor-refused").is_dir()
        for path in (step_folder, folder / "area", folder):
            assert stat.S_IMODE(path.stat().st_mode) == 0o700
        assert stat.S_IMODE((step_folder / "rc").stat().st_mode) == 0o600

    def test_keeping_replaces_only_earlier_runs_of_the_scenario(self, tmp_path: Path) -> None:
        Keeper(prepare(str(tmp_path / "kept"))).keep(scenario(), 7, "", attempt())
        Keeper(prepare(str(tmp_path / "kept"))).keep(scenario("area/other"), 1, "", attempt())
        Keeper(prepare(str(tmp_path / "kept"))).keep(scenario(), 1, "", attempt())
        assert [path.name for path in (tmp_path / "kept/area/case").iterdir()] == ["1"]
        assert (tmp_path / "kept/area/other/1").is_dir()

    def test_folder_with_other_files_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "precious").write_text("")
        with pytest.raises(UsageError, match="contains other files"):
            prepare(str(tmp_path))
        with pytest.raises(UsageError, match="not a folder"):
            prepare(str(tmp_path / "precious"))
        assert [path.name for path in tmp_path.iterdir()] == ["precious"]

    def test_id_with_dots_stays_in_the_folder(self, tmp_path: Path) -> None:
        folder = prepare(str(tmp_path / "kept"))
        Keeper(folder).keep(scenario("../../outside"), 1, "", attempt())
        assert (folder / "outside/1/rc").is_file()
        assert [path.name for path in tmp_path.iterdir()] == ["kept"]

    def test_full_disk_is_one_problem_and_leaves_no_partial_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = prepare(str(tmp_path / "kept"))
        keeper = Keeper(folder)
        room = iter([True, True])  # for two files

        def fdopen(descriptor: int, mode: str) -> IO[bytes]:
            if next(room, False):
                return real(descriptor, mode)
            os.close(descriptor)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        real = os.fdopen
        monkeypatch.setattr("ftps_harness.report.evidence.os.fdopen", fdopen)
        keeper.keep(scenario(), 1, "", attempt())
        keeper.keep(scenario(), 2, "", attempt())
        assert keeper.problem == (
            f"--keep: the evidence is incomplete: {folder}/area/case/1/stdout was not written: No space left on device"
        )
        assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == ["command", MARK, "rc"]


@pytest.mark.parametrize("line", ["x" * 10_000, b"\x01" * 10_000, "ä" * 10_000])
def test_very_long_line_is_cut_with_what_is_left_out(line: str | bytes) -> None:
    """A hostile server or program may print megabytes without a line feed; wrapping them took minutes."""
    feed: str | bytes = b"\n" if isinstance(line, bytes) else "\n"
    (cut, after) = lines_of(line + feed + line[:3])  # type: ignore[operator]  # both are text, or both bytes
    assert cut.endswith(" (6000 more)")
    assert len(cut) < 4 * 4000 + 20
    assert after == harmless(line[:3])
