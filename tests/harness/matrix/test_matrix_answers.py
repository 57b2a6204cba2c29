"""A cell's answer in one line, and its differences from the baselines."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ftps_harness.errors import HarnessError, UsageError
from ftps_harness.matrix import baseline, table
from ftps_harness.matrix.answers import UNEXPECTED, answers, plain
from ftps_harness.matrix.baseline import Baseline
from ftps_harness.matrix.builds import BUILDS, KINDS, chosen
from ftps_harness.matrix.play import MatrixRun, PairResult
from ftps_harness.verdict.observations import Outcome

FINGERPRINT = ":".join(["AB"] * 20)
REFUSED = Outcome(
    "rejected",
    frozenset({"untrusted"}),
    message=f"ls: Fatal error: Certificate verification: Not trusted ({FINGERPRINT})",
)
ACCEPTED = Outcome("accepted")
LEAK = Outcome("exposed", exposed=frozenset({"password"}), to=frozenset({"wire"}))


def step(title: str, *outcomes: Outcome, status: str = "pass", how_often: str = "always") -> Any:
    """The fields of a step's result that the matrix reads."""
    return SimpleNamespace(
        title=title,
        status=status,
        expect=SimpleNamespace(how_often=how_often),
        attempts=[SimpleNamespace(outcome=outcome) for outcome in outcomes],
        why=("not so",) if status != "pass" else (),
        shown=SimpleNamespace(testimony=SimpleNamespace(sources=("log", "relay"))),
    )


def result(*steps: Any, id: str = "a/x", status: str = "pass", why: str = "", titles: tuple[str, ...] = ()) -> Any:  # noqa: A002
    """A scenario's result; `titles` are the scenario's steps, if not all of them ran."""
    written = [SimpleNamespace(title=title, expect=None) for title in titles or [each.title for each in steps]]
    scenario = SimpleNamespace(id=id, steps=written, claim=None, file=f"scenarios/{id}.scenario.toml")
    return SimpleNamespace(scenario=scenario, status=status, steps=steps, why=why, seconds=0.1)


def pair(*results: Any, build: str = "bullseye", kind: str = "lab") -> PairResult:
    return PairResult(build, kind, None, results, 1.0)


def run(*pairs: PairResult) -> MatrixRun:
    return MatrixRun(pairs, interrupted=False, seconds=2.0)


class TestAnswers:
    def test_a_refusal_with_its_words_and_without_what_varies(self) -> None:
        assert answers(step("s", REFUSED)) == ("rejected: untrusted: «Certificate verification: Not trusted»",)

    def test_what_varies_from_run_to_run_is_left_out(self) -> None:
        one = f"get: file-abcdefghijkm.txt: /tmp/ftps-lab-abc12/home/x: Fatal error: y ({FINGERPRINT})"
        two = f"get: file-23456789abcd.txt: /run/ftps-lab-zz/home/x: Fatal error: y ({FINGERPRINT.replace('A', 'C')})"
        assert plain(one) == plain(two)
        assert "file:" in plain(one)
        assert plain("host \u2018a\u2019  and\nb") == plain("b\nhost 'a' and")

    @pytest.mark.parametrize("command", ["ls: ", ".mplist: ", ""])
    def test_the_command_is_not_part_of_its_error(self, command: str) -> None:
        """The same error counts as one answer whether or not lftp names the command: `cls` does not."""
        assert plain(f"{command}Fatal error: Certificate verification: Not trusted") == plain(REFUSED.message)

    @pytest.mark.parametrize("other", ["Not  trusted yet", "Trusted", "Not trusted 2"])
    def test_other_words_are_another_answer(self, other: str) -> None:
        assert plain(REFUSED.message) != plain(REFUSED.message.replace("Not trusted", other))

    def test_an_answer_that_is_not_expected_says_so(self) -> None:
        assert answers(step("s", ACCEPTED, status="fail")) == (f"{UNEXPECTED}accepted",)

    def test_a_repeated_step_has_every_answer_once(self) -> None:
        assert answers(step("s", LEAK, ACCEPTED, LEAK)) == ("accepted", "exposed: password to wire")

    def test_sometimes_means_the_verdict_alone(self) -> None:
        assert answers(step("s", REFUSED, how_often="sometimes")) == ("rejected: untrusted",)


def known(**given: list[str]) -> Baseline:
    return Baseline(Path("x.json"), {}, {"a/x": {"s": given}})


class TestDrift:
    def test_none_where_the_answer_is_known(self) -> None:
        assert list(baseline.drift(known(accepted=["lab", "vsftpd"]), pair(result(step("s", ACCEPTED))))) == []

    @pytest.mark.parametrize(
        ("was", "now", "direction"),
        [
            ("accepted", step("s", LEAK, status="fail"), "worse"),
            (f"{UNEXPECTED}accepted", step("s", LEAK), "better"),
            ("accepted", step("s", REFUSED), "other"),
            (f"{UNEXPECTED}accepted", step("s", LEAK, status="fail"), "other"),
        ],
    )
    def test_another_answer_is_drift_for_better_or_worse(self, was: str, now: Any, direction: str) -> None:
        """Even if every step is as expected, a new answer is never a silent pass."""
        (drift,) = baseline.drift(known(**{was: ["lab"]}), pair(result(now)))
        assert (drift.direction, drift.was, drift.now) == (direction, (was,), answers(now))

    def test_an_answer_that_only_another_server_was_given_is_new(self) -> None:
        (drift,) = baseline.drift(known(accepted=["vsftpd"]), pair(result(step("s", ACCEPTED))))
        assert drift.direction == "new"

    @pytest.mark.parametrize("status", ["skip", "error"])
    def test_an_answer_that_is_missing_now_is_drift(self, status: str) -> None:
        """A missing answer is drift; otherwise a scenario that is suddenly skipped would pass unnoticed."""
        now = result(status=status, why="no engine", titles=("s",))
        (drift,) = baseline.drift(known(accepted=["lab"]), pair(now))
        assert (drift.direction, drift.now, drift.why) == ("missing", (), "no engine")

    def test_the_steps_of_a_scenario_that_broke_answer_nothing(self) -> None:
        (drift,) = baseline.drift(known(accepted=["lab"]), pair(result(step("s", ACCEPTED), status="error", why="w")))
        assert drift.direction == "missing"

    def test_a_step_that_the_scenario_has_no_more_is_missing(self) -> None:
        (drift,) = baseline.drift(known(accepted=["lab"]), pair(result(titles=("t",))))
        assert (drift.step, drift.direction) == ("s", "missing")

    def test_a_repeated_step_may_answer_less_than_before_and_no_more(self) -> None:
        before = known(**{"accepted": ["lab"], "exposed: password to wire": ["lab"]})
        assert list(baseline.drift(before, pair(result(step("s", LEAK, LEAK))))) == []
        (drift,) = baseline.drift(before, pair(result(step("s", LEAK, REFUSED))))
        assert drift.direction == "other"

    def test_scenarios_that_were_not_run_are_not_missing(self) -> None:
        assert list(baseline.drift(known(accepted=["lab"]), pair())) == []

    def test_the_same_on_several_servers_is_told_once(self) -> None:
        drifts = [
            each
            for kind in ("lab", "vsftpd")
            for each in baseline.drift(known(accepted=["lab", "vsftpd"]), pair(result(step("s", LEAK)), kind=kind))
        ]
        lines = list(table.drift_lines(drifts, 79))
        assert lines[0] == "other: a/x, s"
        assert lines[1].split() == ["bullseye", "×", "lab,", "bullseye", "×", "vsftpd"]
        assert [line.strip() for line in lines[2:]] == ["was: accepted", "now: exposed: password to wire"]


class TestBaselineFiles:
    def test_written_read_and_without_drift(self, tmp_path: Path) -> None:
        pairs = [pair(result(step("s", REFUSED), step("t", LEAK, ACCEPTED)), kind=kind) for kind in ("vsftpd", "lab")]
        baseline.write(baseline.updated(baseline.read(tmp_path, "bullseye"), pairs))
        again = baseline.read(tmp_path, "bullseye")
        assert again.scenarios["a/x"]["t"] == {
            "accepted": ["lab", "vsftpd"],
            "exposed: password to wire": ["lab", "vsftpd"],
        }
        assert [drift for each in pairs for drift in baseline.drift(again, each)] == []

    def test_an_update_leaves_what_was_not_run(self) -> None:
        before = known(accepted=["lab", "vsftpd"])
        before.scenarios["a/y"] = {"s": {"accepted": ["lab"]}}
        after = baseline.updated(before, [pair(result(step("s", LEAK)))])
        assert after.scenarios["a/x"]["s"] == {"accepted": ["vsftpd"], "exposed: password to wire": ["lab"]}
        assert after.scenarios["a/y"] == {"s": {"accepted": ["lab"]}}
        assert before.scenarios["a/x"]["s"] == {"accepted": ["lab", "vsftpd"]}

    def test_what_broke_never_becomes_a_baseline(self) -> None:
        before = known(accepted=["lab"])
        broken = result(step("s", LEAK, status="error"), status="error", why="w")
        assert baseline.updated(before, [pair(broken)]).scenarios == before.scenarios

    def test_a_repeated_step_keeps_what_it_answered_before(self) -> None:
        after = baseline.updated(known(accepted=["lab"]), [pair(result(step("s", LEAK, LEAK)))])
        assert after.scenarios["a/x"]["s"] == {"accepted": ["lab"], "exposed: password to wire": ["lab"]}

    def test_a_step_that_is_skipped_now_is_taken_out(self) -> None:
        after = baseline.updated(known(accepted=["lab", "vsftpd"]), [pair(result(status="skip", titles=("s",)))])
        assert after.scenarios["a/x"]["s"] == {"accepted": ["vsftpd"]}

    @pytest.mark.parametrize(
        "text",
        ["", "[]", "{}", '{"schema": 2}', '{"schema": 1, "lftp": {}, "scenarios": []}', '{"schema": 1}', "\x00"],
    )
    def test_what_is_no_baseline_is_a_sentence(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "baselines").mkdir()
        (tmp_path / "baselines" / "sid.json").write_text(text)
        with pytest.raises(UsageError, match=r"sid\.json: "):
            baseline.read(tmp_path, "sid")

    def test_a_folder_that_cannot_be_written_is_a_sentence(self, tmp_path: Path) -> None:
        (tmp_path / "baselines").write_text("a file")
        with pytest.raises((HarnessError, UsageError)):
            baseline.write(Baseline(tmp_path / "baselines" / "sid.json"))

    def test_two_of_the_same_answers_are_the_same_bytes(self, tmp_path: Path) -> None:
        for order, name in ((1, "one"), (-1, "two")):
            pairs = [pair(result(step("s", ACCEPTED)), kind=kind) for kind in ("lab", "vsftpd")][::order]
            new = baseline.updated(Baseline(tmp_path / f"{name}.json"), pairs)
            baseline.write(new)
        assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
        json.loads((tmp_path / "one.json").read_text())


class TestTable:
    def test_a_row_for_each_build_and_a_column_for_each_server(self) -> None:
        skip, fail = result(status="skip", why="IP"), result(step("s", LEAK, status="fail"), status="fail")
        pairs = [
            pair(result(step("s", ACCEPTED)), skip),
            pair(fail, skip, kind="vsftpd"),
            pair(result(step("s", ACCEPTED)), build="sid"),
        ]
        assert list(table.cells(run(*pairs), 79)) == [
            "          lab          vsftpd",
            "bullseye  1 ok 1 skip  1 FAIL 1 skip",
            "sid       1 ok         -",
        ]
        assert list(table.skipped(run(*pairs), 79)) == ["IP", "    a/x: bullseye"]
        assert list(table.failures(run(*pairs), 79)) == ["FAIL bullseye × vsftpd  a/x", "    step 1 (s): not so"]

    def test_too_wide_for_a_table_is_a_list(self) -> None:
        pairs = [pair(result(step("s", ACCEPTED)), kind=kind) for kind in KINDS]
        assert next(iter(table.cells(run(*pairs), 20))) == "bullseye × lab: 1 ok"

    def test_the_witnesses_of_each_server_are_told(self) -> None:
        lines = list(table.builds(run(pair(result(step("s", ACCEPTED)), kind="vsftpd"))))
        assert lines == ["vsftpd (vsftpd): witnesses client, log + relay, wire"]


class TestExitCode:
    @pytest.mark.parametrize("code", [0, 1, 2, 3, 130])
    def test_the_last_sentence_says_what_it_means_and_what_the_others_would(self, code: int) -> None:
        lines = list(table.exit_lines(code, 79))
        assert " ".join(lines).startswith(f"exit code {code}: {table.EXIT_CODES[code]} (")
        assert [str(other) in " ".join(lines) for other in table.EXIT_CODES] == [True] * 5
        assert all(len(line) <= 79 for line in lines)


class TestChoosing:
    def test_all_without_a_name_and_in_the_order_of_the_table(self) -> None:
        assert [build.name for build in chosen("--client", (), BUILDS)] == list(BUILDS)
        assert [kind.name for kind in chosen("--server", ("vsftpd", "lab"), KINDS)] == ["lab", "vsftpd"]

    def test_an_unknown_name_is_a_sentence(self) -> None:
        with pytest.raises(UsageError, match=r"--client bulseye: no client has this name.*bullseye"):
            chosen("--client", ("bulseye",), BUILDS)
