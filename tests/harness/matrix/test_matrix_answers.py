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
    def test_answer_of_a_refusal_has_its_message_without_the_fingerprint(self) -> None:
        assert answers(step("s", REFUSED)) == ("rejected: untrusted: «Certificate verification: Not trusted»",)

    def test_varying_parts_of_a_message_are_removed(self) -> None:
        one = f"get: file-abcdefghijkm.txt: /tmp/ftps-lab-abc12/home/x: Fatal error: y ({FINGERPRINT})"
        two = f"get: file-23456789abcd.txt: /run/ftps-lab-zz/home/x: Fatal error: y ({FINGERPRINT.replace('A', 'C')})"
        assert plain(one) == plain(two)
        assert "file:" in plain(one)
        assert plain("host \u2018a\u2019  and\nb") == plain("b\nhost 'a' and")

    @pytest.mark.parametrize("command", ["ls: ", ".mplist: ", ""])
    def test_command_name_is_removed_from_a_message(self, command: str) -> None:
        """The same error counts as one answer whether or not lftp names the command: `cls` does not."""
        assert plain(f"{command}Fatal error: Certificate verification: Not trusted") == plain(REFUSED.message)

    @pytest.mark.parametrize("other", ["Not  trusted yet", "Trusted", "Not trusted 2"])
    def test_other_wording_is_another_answer(self, other: str) -> None:
        assert plain(REFUSED.message) != plain(REFUSED.message.replace("Not trusted", other))

    def test_unexpected_answer_is_marked(self) -> None:
        assert answers(step("s", ACCEPTED, status="fail")) == (f"{UNEXPECTED}accepted",)

    def test_repeated_step_lists_each_answer_once(self) -> None:
        assert answers(step("s", LEAK, ACCEPTED, LEAK)) == ("accepted", "exposed: password to wire")

    def test_step_with_sometimes_has_no_message_in_its_answer(self) -> None:
        assert answers(step("s", REFUSED, how_often="sometimes")) == ("rejected: untrusted",)


def known_baseline(**given: list[str]) -> Baseline:
    return Baseline(Path("x.json"), {}, {"a/x": {"s": given}})


class TestDriftFromBaseline:
    def test_known_answer_is_not_drift(self) -> None:
        assert list(baseline.drift(known_baseline(accepted=["lab", "vsftpd"]), pair(result(step("s", ACCEPTED))))) == []

    @pytest.mark.parametrize(
        ("was", "now", "direction"),
        [
            ("accepted", step("s", LEAK, status="fail"), "worse"),
            (f"{UNEXPECTED}accepted", step("s", LEAK), "better"),
            ("accepted", step("s", REFUSED), "other"),
            (f"{UNEXPECTED}accepted", step("s", LEAK, status="fail"), "other"),
        ],
    )
    def test_changed_answer_is_drift_with_its_direction(self, was: str, now: Any, direction: str) -> None:
        """A new answer is drift even if every step is as expected."""
        (drift,) = baseline.drift(known_baseline(**{was: ["lab"]}), pair(result(now)))
        assert (drift.direction, drift.was, drift.now) == (direction, (was,), answers(now))

    def test_answer_known_only_from_another_server_is_new(self) -> None:
        (drift,) = baseline.drift(known_baseline(accepted=["vsftpd"]), pair(result(step("s", ACCEPTED))))
        assert drift.direction == "new"

    @pytest.mark.parametrize("status", ["skip", "error"])
    def test_missing_answer_is_drift(self, status: str) -> None:
        """Otherwise a scenario that is suddenly skipped would go unnoticed."""
        now = result(status=status, why="no engine", titles=("s",))
        (drift,) = baseline.drift(known_baseline(accepted=["lab"]), pair(now))
        assert (drift.direction, drift.now, drift.why) == ("missing", (), "no engine")

    def test_steps_of_a_broken_scenario_count_as_missing(self) -> None:
        (drift,) = baseline.drift(
            known_baseline(accepted=["lab"]), pair(result(step("s", ACCEPTED), status="error", why="w"))
        )
        assert drift.direction == "missing"

    def test_removed_step_is_missing(self) -> None:
        (drift,) = baseline.drift(known_baseline(accepted=["lab"]), pair(result(titles=("t",))))
        assert (drift.step, drift.direction) == ("s", "missing")

    def test_repeated_step_may_give_fewer_answers_but_no_new_one(self) -> None:
        before = known_baseline(**{"accepted": ["lab"], "exposed: password to wire": ["lab"]})
        assert list(baseline.drift(before, pair(result(step("s", LEAK, LEAK))))) == []
        (drift,) = baseline.drift(before, pair(result(step("s", LEAK, REFUSED))))
        assert drift.direction == "other"

    def test_scenario_that_was_not_selected_is_not_missing(self) -> None:
        assert list(baseline.drift(known_baseline(accepted=["lab"]), pair())) == []

    def test_same_drift_on_several_servers_is_one_entry(self) -> None:
        drifts = [
            each
            for kind in ("lab", "vsftpd")
            for each in baseline.drift(
                known_baseline(accepted=["lab", "vsftpd"]), pair(result(step("s", LEAK)), kind=kind)
            )
        ]
        lines = list(table.drift_lines(drifts, 79))
        assert lines[0] == "other: a/x, s"
        assert lines[1].split() == ["bullseye", "×", "lab,", "bullseye", "×", "vsftpd"]
        assert [line.strip() for line in lines[2:]] == ["was: accepted", "now: exposed: password to wire"]


class TestBaselineFiles:
    def test_written_baseline_is_read_back_without_drift(self, tmp_path: Path) -> None:
        pairs = [pair(result(step("s", REFUSED), step("t", LEAK, ACCEPTED)), kind=kind) for kind in ("vsftpd", "lab")]
        baseline.write(baseline.updated(baseline.read(tmp_path, "bullseye"), pairs))
        again = baseline.read(tmp_path, "bullseye")
        assert again.scenarios["a/x"]["t"] == {
            "accepted": ["lab", "vsftpd"],
            "exposed: password to wire": ["lab", "vsftpd"],
        }
        assert [drift for each in pairs for drift in baseline.drift(again, each)] == []

    def test_update_keeps_answers_of_cells_that_were_not_run(self) -> None:
        before = known_baseline(accepted=["lab", "vsftpd"])
        before.scenarios["a/y"] = {"s": {"accepted": ["lab"]}}
        after = baseline.updated(before, [pair(result(step("s", LEAK)))])
        assert after.scenarios["a/x"]["s"] == {"accepted": ["vsftpd"], "exposed: password to wire": ["lab"]}
        assert after.scenarios["a/y"] == {"s": {"accepted": ["lab"]}}
        assert before.scenarios["a/x"]["s"] == {"accepted": ["lab", "vsftpd"]}

    def test_broken_scenario_does_not_change_a_baseline(self) -> None:
        before = known_baseline(accepted=["lab"])
        broken = result(step("s", LEAK, status="error"), status="error", why="w")
        assert baseline.updated(before, [pair(broken)]).scenarios == before.scenarios

    def test_update_keeps_earlier_answers_of_a_repeated_step(self) -> None:
        after = baseline.updated(known_baseline(accepted=["lab"]), [pair(result(step("s", LEAK, LEAK)))])
        assert after.scenarios["a/x"]["s"] == {"accepted": ["lab"], "exposed: password to wire": ["lab"]}

    def test_update_removes_the_answer_of_a_skipped_step(self) -> None:
        after = baseline.updated(
            known_baseline(accepted=["lab", "vsftpd"]), [pair(result(status="skip", titles=("s",)))]
        )
        assert after.scenarios["a/x"]["s"] == {"accepted": ["vsftpd"]}

    @pytest.mark.parametrize(
        "text",
        ["", "[]", "{}", '{"schema": 2}', '{"schema": 1, "lftp": {}, "scenarios": []}', '{"schema": 1}', "\x00"],
    )
    def test_malformed_baseline_is_a_usage_error(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "baselines").mkdir()
        (tmp_path / "baselines" / "sid.json").write_text(text)
        with pytest.raises(UsageError, match=r"sid\.json: "):
            baseline.read(tmp_path, "sid")

    def test_unwritable_baseline_folder_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "baselines").write_text("a file")
        with pytest.raises((HarnessError, UsageError)):
            baseline.write(Baseline(tmp_path / "baselines" / "sid.json"))

    def test_baseline_bytes_do_not_depend_on_the_order_of_pairs(self, tmp_path: Path) -> None:
        for order, name in ((1, "one"), (-1, "two")):
            pairs = [pair(result(step("s", ACCEPTED)), kind=kind) for kind in ("lab", "vsftpd")][::order]
            new = baseline.updated(Baseline(tmp_path / f"{name}.json"), pairs)
            baseline.write(new)
        assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
        json.loads((tmp_path / "one.json").read_text())


class TestTable:
    def test_table_has_a_row_per_build_and_a_column_per_server(self) -> None:
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

    def test_table_that_is_too_wide_becomes_a_list(self) -> None:
        pairs = [pair(result(step("s", ACCEPTED)), kind=kind) for kind in KINDS]
        assert next(iter(table.cells(run(*pairs), 20))) == "bullseye × lab: 1 ok"

    def test_witnesses_of_each_server_are_listed(self) -> None:
        lines = list(table.builds(run(pair(result(step("s", ACCEPTED)), kind="vsftpd"))))
        assert lines == ["vsftpd (vsftpd): witnesses client, log + relay, wire"]


class TestExitCode:
    @pytest.mark.parametrize("code", [0, 1, 2, 3, 130])
    def test_exit_code_is_explained_along_with_the_others(self, code: int) -> None:
        lines = list(table.exit_lines(code, 79))
        assert " ".join(lines).startswith(f"exit code {code}: {table.EXIT_CODES[code]} (")
        others = [f"{other}: {meaning}" for other, meaning in table.EXIT_CODES.items() if other != code]
        assert [other for other in others if other not in " ".join(lines)] == []
        assert all(len(line) <= 79 for line in lines)


class TestSelection:
    def test_default_is_all_and_order_is_that_of_the_table(self) -> None:
        assert [build.name for build in chosen("--client", (), BUILDS)] == list(BUILDS)
        assert [kind.name for kind in chosen("--server", ("vsftpd", "lab"), KINDS)] == ["lab", "vsftpd"]

    def test_unknown_name_is_a_usage_error(self) -> None:
        with pytest.raises(UsageError, match=r"--client bulseye: no client has this name.*bullseye"):
            chosen("--client", ("bulseye",), BUILDS)
