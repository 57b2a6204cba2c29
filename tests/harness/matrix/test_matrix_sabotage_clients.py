"""The matrix: a client's container answers wrongly, mixes up two runs or loses lftp's files; nothing passes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from tests.harness.play.sabotage import ACCEPTED, NO_CONTROL, REJECTED, contradictions, verdict

from ftps_harness.errors import HarnessError
from ftps_harness.matrix.shell import Shell
from ftps_harness.sandbox import process

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.harness.conftest import Play

    from ftps_harness.client.lftp import Lftp

pytestmark = pytest.mark.long


class Container:
    """A client's container that gives prescribed answers and leaves prescribed files."""

    def __init__(self, folder: Path, answers: Sequence[str], streams: Sequence[str] = ("out", "err")) -> None:
        self._folder = folder
        self._answers = [answer.encode() + b"\n" for answer in answers]
        self._streams = streams
        self._orders = 0

    def send(self, line: bytes) -> None:
        assert line.startswith(b"sh ")
        self._orders += 1
        for stream in self._streams:
            (self._folder / f"{self._orders}.{stream}").write_text(f"{stream} of {self._orders}")

    def receive(self, timeout: float) -> bytes:
        if not self._answers:
            raise EOFError
        return self._answers.pop(0)

    def last_words(self) -> str:
        return ""

    def close(self) -> None:
        """Do nothing."""


def run_lftp(shell: Shell, folder: Path) -> process.Finished:
    return shell(["lftp"], env={}, cwd=folder, timeout=1)


class TestContainerAnswers:
    def test_intact_answers_are_read(self, tmp_path: Path) -> None:
        shell = Shell(Container(tmp_path, ["1 0", "2 139"]), tmp_path)
        done = [run_lftp(shell, tmp_path) for _ in range(2)]
        assert [(each.exit_code, each.signal, each.stdout, each.stderr) for each in done] == [
            (0, None, b"out of 1", b"err of 1"),
            (None, 11, b"out of 2", b"err of 2"),
        ]

    def test_late_answers_are_never_taken_for_the_next_order(self, tmp_path: Path) -> None:
        """A late answer to an abandoned order never counts as the next order's."""
        shell = Shell(Container(tmp_path, ["0 0", "1 0", "2 0"]), tmp_path)
        for number in range(1, 4):
            with pytest.raises(HarnessError, match=f"to order {number}"):
                run_lftp(shell, tmp_path)

    @pytest.mark.parametrize("answer", ["1", "1 ", "1 zero", "1 -1", "1 0 0", "1 256", "1 ²", "", "10 0", "late"])
    def test_malformed_answer_is_an_error(self, tmp_path: Path, answer: str) -> None:
        with pytest.raises(HarnessError, match="to order 1"):
            run_lftp(Shell(Container(tmp_path, [answer]), tmp_path), tmp_path)

    @pytest.mark.parametrize("streams", [(), ("out",), ("err",)])
    def test_missing_stream_is_an_error(self, tmp_path: Path, streams: tuple[str, ...]) -> None:
        """Otherwise a missing standard error would look like a run without a refusal."""
        with pytest.raises(HarnessError, match=r"lftp left no file 1\.(out|err)"):
            run_lftp(Shell(Container(tmp_path, ["1 0"], streams), tmp_path), tmp_path)

    def test_stale_stream_files_are_not_used(self, tmp_path: Path) -> None:
        for name in ("1.out", "1.err"):
            (tmp_path / name).write_text("of another shell in the same folder")
        with pytest.raises(HarnessError, match=r"lftp left no file 1\.out"):
            run_lftp(Shell(Container(tmp_path, ["1 0"], ()), tmp_path), tmp_path)


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.lftp
class TestMixedUpRuns:
    """The program that starts lftp mixes up two runs or loses lftp's files."""

    def confused(self, client: Lftp, *names: str) -> Lftp:
        """Return the streams of the previous run."""
        before: list[process.Finished] = []

        def start(argv: Sequence[str], **keywords: Any) -> process.Finished:
            before.append(process.run(argv, **keywords))
            return replace(before[-1], **{name: getattr(before[-2:][0], name) for name in names})

        return replace(client, start=start)

    @pytest.mark.parametrize(
        "names", [("stderr",), ("stdout",), ("stdout", "stderr"), ("stdout", "stderr", "exit_code")]
    )
    @pytest.mark.parametrize("second", [REJECTED, ACCEPTED])
    def test_streams_of_the_previous_run_prove_no_other_verdict(
        self, play: Play, client: Lftp, names: tuple[str, ...], second: str
    ) -> None:
        """Refused, then accepted, or the reverse: neither run said what the other one's streams say."""
        rcs = ("", None) if second == ACCEPTED else (None, "")
        first = REJECTED if second == ACCEPTED else ACCEPTED
        for expected in (first, second):  # the true result, and what the streams say
            steps = [
                play.step(first, rc=rcs[0], title="one"),
                play.step(expected, rc=rcs[1], title="two", keys=NO_CONTROL if expected == REJECTED else ""),
            ]
            result = play(*steps, client=self.confused(client, *names), controls=False)
            truth = expected == second
            assert result.steps[0].status == "pass"
            assert result.steps[1].status in ({"pass", "error", "fail"} if truth else {"error", "fail"})

    @pytest.mark.parametrize(("expect", "rc"), [(ACCEPTED, None), (REJECTED, "")])
    def test_missing_debug_log_is_inconclusive(self, play: Play, client: Lftp, expect: str, rc: str | None) -> None:
        """The container's folder is not visible to us, so lftp's log there is lost."""

        def start(argv: Sequence[str], **keywords: Any) -> process.Finished:
            moved = [
                part.replace("command debug -p -o ", "command debug -p -o /dev/null; command echo ") for part in argv
            ]
            return process.run(moved, **keywords)

        result = play(play.step(expect, rc=rc), client=replace(client, start=start), controls=False)
        assert (result.status, verdict(result)) == ("error", "inconclusive")
        assert "no debug log" in contradictions(result)
