"""Differences between builds and servers: the worst first, lftp's wording folded; also over the recorded baselines."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.harness.matrix.test_matrix_answers import ACCEPTED, LEAK, REFUSED, pair, result, run, step

from ftps_harness.matrix import baseline, matrix_json
from ftps_harness.matrix.builds import BUILDS
from ftps_harness.matrix.difference_report import difference_lines
from ftps_harness.matrix.differences import Difference, Question, differences, differing
from ftps_harness.matrix.terminal import Terminal
from ftps_harness.verdict.observations import Outcome

if TYPE_CHECKING:
    from ftps_harness.matrix.difference_report import Line
    from ftps_harness.matrix.differences import Cell
    from ftps_harness.matrix.play import PairResult

ROOT = Path(__file__).parents[3]
OTHER_WORDS = dataclasses.replace(REFUSED, message="Fatal error: Certificate verification: self-signed certificate")
OTHER_REASON = Outcome("rejected", frozenset({"expired"}), message="Fatal error: has expired")
UNREACHABLE = Outcome("unreachable", message="zzz: no route")


def recorded(area: str) -> list[Difference]:
    """Differences between the recorded answers of all builds, in one area of the catalogue."""
    given: dict[Question, dict[Cell, tuple[str, ...]]] = {}
    for build in BUILDS:
        for scenario, steps in baseline.read(ROOT / "scenarios", build).scenarios.items():
            for title, answers in steps.items() if scenario.startswith(area) else ():
                cells = given.setdefault(Question(scenario, title), {})
                for answer, kinds in answers.items():
                    for kind in kinds:
                        cells[build, kind] = tuple(sorted((*cells.get((build, kind), ()), answer)))
    return list(differing(given))


class TestKindsOfDifference:
    def test_equal_answers_are_not_a_difference(self) -> None:
        assert list(differences([pair(result(step("s", ACCEPTED)), build=build) for build in ("sid", "trixie")])) == []

    @pytest.mark.parametrize(
        ("one", "other", "kind"),
        [
            ((REFUSED,), (LEAK,), "exposure"),
            ((ACCEPTED,), (LEAK,), "exposure"),
            ((LEAK,), (dataclasses.replace(LEAK, to=frozenset({"impostor"})),), "exposure"),
            ((REFUSED,), (ACCEPTED,), "verdict"),
            ((REFUSED,), (OTHER_REASON,), "reason"),
            ((REFUSED,), (OTHER_WORDS,), "words"),
            # Repeated steps: an answer that only some runs gave never counts as a difference in wording.
            ((REFUSED,), (REFUSED, LEAK), "exposure"),
            ((REFUSED,), (REFUSED, UNREACHABLE), "verdict"),
            ((OTHER_REASON,), (OTHER_REASON, REFUSED), "reason"),
            ((REFUSED,), (REFUSED, OTHER_WORDS), "words"),
        ],
    )
    def test_kind_of_a_difference_is_its_worst_aspect(
        self, one: tuple[Outcome, ...], other: tuple[Outcome, ...], kind: str
    ) -> None:
        pairs = [pair(result(step("s", *one))), pair(result(step("s", *other)), build="openssl")]
        (found,) = differences(pairs)
        assert (found.kind, found.of_verdict) == (kind, kind != "words")

    def test_rejection_expected_in_one_cell_only_differs_in_the_verdict(self) -> None:
        pairs = [pair(result(step("s", REFUSED))), pair(result(step("s", REFUSED, status="fail")), build="openssl")]
        (found,) = differences(pairs)
        assert found.kind == "verdict"

    def test_exposure_expected_in_one_cell_only_differs_in_the_verdict(self) -> None:
        pairs = [pair(result(step("s", LEAK))), pair(result(step("s", LEAK, status="fail")), build="openssl")]
        (found,) = differences(pairs)
        assert found.kind == "verdict"

    def test_json_separates_verdict_from_wording_and_has_full_answers(self) -> None:
        pairs = [
            pair(result(step("words", REFUSED), step("reason", REFUSED), step("leak", REFUSED))),
            pair(result(step("words", OTHER_WORDS), step("reason", OTHER_REASON), step("leak", LEAK)), build="openssl"),
        ]
        found = matrix_json.differences_json(run(*pairs))
        assert [(each["step"], each["of"]) for each in found] == [
            ("words", "words"),
            ("reason", "verdict"),
            ("leak", "verdict"),
        ]
        assert found[2]["answers"] == {
            "rejected: untrusted: «Certificate verification: Not trusted»": [["bullseye", "lab"]],
            "exposed: password to wire": [["openssl", "lab"]],
        }


def lines_of(pairs: tuple[PairResult, ...] | list[PairResult], *, words: bool = False) -> list[Line]:
    return list(difference_lines(list(differences(pairs)), 77, words=words))


class TestLines:
    PAIRS = (
        pair(result(step("words", REFUSED), step("reason", REFUSED), step("leak", REFUSED), step("late", REFUSED))),
        pair(
            result(
                step("words", OTHER_WORDS), step("reason", OTHER_REASON), step("leak", LEAK), step("late", ACCEPTED)
            ),
            build="openssl",
        ),
    )

    def test_differences_are_ordered_by_severity(self) -> None:
        lines = [line.text for line in lines_of(self.PAIRS)]
        assert lines == [
            "the leaks differ: 1 step",
            "  a/x",
            "    leak",
            "      openssl   exposed: password to wire",
            "      bullseye  rejected: untrusted",
            "the verdict differs: 1 step",
            "  a/x",
            "    late",
            "      bullseye  rejected: untrusted",
            "      openssl   accepted",
            "refused by all, for different reasons: 1 step",
            "  a/x",
            "    reason",
            "      bullseye  rejected: untrusted",
            "      openssl   rejected: expired",
            "only lftp's wording differs: 1 step, not shown; -v shows them",
        ]

    def test_words_option_shows_every_message(self) -> None:
        lines = "\n".join(line.text for line in lines_of(self.PAIRS, words=True))
        assert " ".join(lines.split()).count("«Certificate verification: Not trusted»") == 4
        assert "openssl: rejected: untrusted: «Certificate verification: self-signed\n" in lines
        assert "not shown" not in lines

    def test_only_an_exposure_is_red(self) -> None:
        red = [line.text for line in lines_of(self.PAIRS) if "red" in line.style]
        assert red == ["      openssl   exposed: password to wire"]

    def test_differing_server_is_named_once_for_all_builds(self) -> None:
        pairs = [
            pair(result(step("s", LEAK if kind == "vsftpd" else ACCEPTED)), build=build, kind=kind)
            for build in ("sid", "trixie")
            for kind in ("lab", "vsftpd", "proftpd")
        ]
        lines = [line.text for line in lines_of(pairs)]
        assert lines[3:] == ["      vsftpd        exposed: password to wire", "      lab, proftpd  accepted"]

    def test_steps_with_the_same_difference_share_one_entry(self) -> None:
        pairs = [
            pair(result(*(step(title, outcome) for title in "abc")), build=build)
            for build, outcome in (("sid", LEAK), ("openssl", ACCEPTED))
        ]
        lines = [line.text for line in lines_of(pairs)]
        assert lines[1:5] == ["  a/x", "    a", "    b", "    c"]
        assert "\n".join(lines).count("exposed: password to wire") == 1

    def test_text_of_a_server_is_escaped(self) -> None:
        hostile = dataclasses.replace(OTHER_WORDS, message="\x1b[2Jerror")
        pairs = [pair(result(step("\x1b[2Js", REFUSED))), pair(result(step("\x1b[2Js", hostile)), build="openssl")]
        assert "\x1b" not in "".join(line.text for line in lines_of(pairs, words=True))


class TestRecordedAnswers:
    """Baselines of all builds, as `ftps-lab matrix` shows them."""

    def _lines(self, area: str, *, words: bool) -> list[str]:
        return [line.text for line in difference_lines(recorded(area), 77, words=words)]

    def test_document_differences_begin_with_the_cleartext_file(self) -> None:
        lines = self._lines("document/", words=False)
        assert lines[1] == "  document/data-channel-is-optional"
        assert lines[2] == "    neither setting in the rc: today's lftp protects files, 4.8 does not"
        assert lines[3].split() == ["bullseye", "exposed:", "payload", "to", "wire"]
        assert "not shown; -v shows them" in lines[-1]
        assert len(lines) < 60

    @pytest.mark.parametrize("words", [False, True])
    def test_lines_fit_77_columns(self, words: bool) -> None:
        assert all(len(line) <= 77 for line in self._lines("", words=words))

    def test_every_differing_exposure_is_listed_as_an_exposure(self) -> None:
        """If one cell exposes and another does not, the step belongs in the first part."""
        for difference in recorded(""):
            leaks = [bool(group.exposed) for group in difference.groups]
            assert (difference.kind == "exposure") >= (any(leaks) and not all(leaks)), difference

    def test_every_differing_step_is_counted_and_shown(self) -> None:
        lines = self._lines("", words=False)
        counted = sum(int(line.split(": ")[1].split()[0]) for line in lines if not line.startswith(" "))
        assert counted == len(recorded(""))
        titles = [difference.question.step for difference in recorded("") if difference.of_verdict]
        shown = " ".join(" ".join(lines).split())
        assert [title for title in titles if " ".join(title.split()) not in shown] == []


class TestReport:
    def test_report_begins_with_differences_and_ends_with_the_exit_code(self) -> None:
        out = io.StringIO()
        pairs = (pair(result(step("s", ACCEPTED))), pair(result(step("s", LEAK)), build="openssl"))
        terminal = Terminal(out)
        terminal.report(run(*pairs), ())
        terminal.exit(0)
        lines = out.getvalue().splitlines()
        assert lines[:3] == ["", "answered differently", "  the leaks differ: 1 step"]
        assert [line for line in lines if line.startswith("exit code")] == lines[-4:-3]
        assert "\x1b" not in out.getvalue()

    def test_no_color_shows_exposures_in_bold(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NO_COLOR", "1")
        monkeypatch.setenv("TERM", "xterm-256color")
        out = io.StringIO()
        monkeypatch.setattr(out, "isatty", lambda: True, raising=False)
        Terminal(out).report(run(*TestLines.PAIRS), ())
        assert "\x1b[1m        openssl   exposed: password to wire" in out.getvalue()
        assert "\x1b[31m" not in out.getvalue()
        assert "31m" not in out.getvalue()
