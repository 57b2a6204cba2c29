"""`--keep DIR`: everything that the witnesses said, step by step, as files.

DIR/<area>/<case>/1/                   the first step: command, rc, stdout, stderr, lftp.log, outcome.json,
                                       testimony.json (what the server saw)
DIR/<area>/<case>/1/wire/              the raw bytes of each connection, in both directions
DIR/<area>/<case>/1-impostor-refused/  its control
DIR/<area>/<case>/2-run-7/             the seventh run of a step that repeats

With several lftp builds, each has its own folder in DIR, and so does each pair of the matrix: DIR/<build>/<server>.

It contains passwords, which were created for the run and open nothing else. Still, only the owner can read it (0700).
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from ftps_harness.errors import HarnessError, UsageError
from ftps_harness.report.account import data_of
from ftps_harness.report.files import sentence

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ftps_harness.client.lftp.session import Run
    from ftps_harness.play.attempt import Attempt
    from ftps_harness.play.program import Observed
    from ftps_harness.sandbox.process import Finished
    from ftps_harness.scenario import Scenario
    from ftps_harness.verdict.observations import Outcome
    from ftps_lab.testimony import Testimony, Wire

MARK = "ftps-lab-evidence.txt"
"""Marks a folder as ours: the evidence of an earlier run is replaced, other files never are."""

_ABOUT = """\
Evidence kept by `ftps-lab run --keep` or `ftps-lab matrix --keep`. Each later run into this folder replaces the
scenarios that it runs.

<area>/<case>/<step>/      command, rc, stdout, stderr, lftp.log, outcome.json, testimony.json (what the server saw)
<area>/<case>/<step>/wire  the raw bytes of each connection, in both directions
<step>-<control>           the step's control; <step>-run-<n> the runs of a step that repeats

Above <area>: a folder for each lftp build if there are several; with the matrix, one for each <build>/<server>.
"""


class Keeper:
    """Keeps the evidence of one lftp build's run. A write error stops the keeping, but not the run.

    Args:
        folder: The folder to write to.
    """

    def __init__(self, folder: Path) -> None:
        self.problem = ""
        self._folder = folder
        self._begun: set[Path] = set()
        self._lock = threading.Lock()

    def keep(self, scenario: Scenario, step: int, label: str, attempt: Attempt) -> None:
        """Write the evidence of one run of lftp; see `ftps_harness.play.runner.Options.keep`."""
        if self.problem:
            return
        try:
            folder = self._folder.joinpath(*_plain_parts(scenario.id))
            self._clear_once(folder)
            write_files(folder / (f"{step}-{label}" if label else str(step)), files_of(attempt))
        except HarnessError as error:
            self._ended(str(error))

    def _ended(self, problem: str) -> None:
        """Record a problem; only the first counts, because the others follow from it."""
        with self._lock:
            if not self.problem:
                self.problem = problem

    def _clear_once(self, folder: Path) -> None:
        """Remove the evidence of this scenario from an earlier run: a mix of old and new steps would mislead."""
        with self._lock:
            if folder in self._begun:
                return
            self._begun.add(folder)
        with sentence(f"--keep: {folder} cannot be replaced"):
            if folder.exists():
                shutil.rmtree(folder)


def prepare(name: str, about: str = _ABOUT) -> Path:
    """Create the folder of `--keep`, or reuse one from an earlier run.

    Args:
        name: The folder.
        about: A note in the folder that describes its content.

    Raises:
        UsageError: It is a file, holds files that are not ours, or cannot be created.
    """
    folder = Path(name).expanduser()
    try:
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"--keep {name}: not a folder")
        if folder.is_dir() and any(folder.iterdir()) and not (folder / MARK).is_file():
            raise UsageError(f"--keep {name}: this folder contains other files; name a new or empty one")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / MARK).write_text(about, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--keep {name}: {error.strerror or error}; name another folder") from None
    return folder


def _plain_parts(id: str) -> list[str]:  # noqa: A002 - the format's word
    """The parts of an id as folder names; none can lead out of DIR."""
    return [part for part in id.split("/") if part not in {"", ".", ".."}]


def write_files(folder: Path, files: Iterable[tuple[str, bytes]]) -> None:
    """Write files by name below a folder, readable only by their owner.

    Raises:
        HarnessError: A file cannot be written.
    """
    for name, data in files:
        path = folder / name
        with sentence(f"--keep: the evidence is incomplete: {path} was not written"):
            _folders(path.parent)
            _write(path, data)


def _folders(path: Path) -> None:
    """Create a private folder and its parents: `Path.mkdir` applies the mode only to the last one."""
    for each in reversed([path, *path.parents]):
        each.mkdir(mode=0o700, exist_ok=True)


def _write(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def files_of(attempt: Attempt) -> Iterator[tuple[str, bytes]]:
    """The evidence files of one run of lftp, by name."""
    run = attempt.run
    yield "command", (shlex.join(run.argv) + "\n").encode("utf-8", "surrogateescape")
    yield "rc", attempt.rc.encode("utf-8", "surrogateescape")
    for name, content in attempt.start_up.items():
        yield f"start-up/{name.removeprefix('~/').replace('/', '-')}", content
    yield "stdout", run.stdout
    yield "stderr", run.stderr
    yield "lftp.log", run.log
    yield "outcome.json", _json(_outcome(attempt.outcome, run))
    yield from _witnessed(attempt.testimony, attempt.wire)


def files_of_program(argv: Sequence[str], seen: Observed, outcome: Outcome) -> Iterator[tuple[str, bytes]]:
    """The evidence files of one run of any program, by name."""
    yield "command", (shlex.join(argv) + "\n").encode("utf-8", "surrogateescape")
    yield "stdout", seen.run.stdout
    yield "stderr", seen.run.stderr
    yield "outcome.json", _json(_outcome(outcome, seen.run))
    yield from _witnessed(seen.testimony, seen.wire)


def _witnessed(testimony: Testimony, wire: Wire) -> Iterator[tuple[str, bytes]]:
    yield "testimony.json", _json(data_of(testimony))
    for transfer in testimony.transfers:
        if transfer.captured:
            yield f"captured/{transfer.connection:02}-{transfer.verb}.bin", transfer.captured
    for number, record in enumerate(wire.records, 1):
        yield f"wire/{number:02}-{record.kind}-to-server.bin", record.to_server
        yield f"wire/{number:02}-{record.kind}-to-client.bin", record.to_client


def _outcome(outcome: Outcome, run: Run | Finished) -> dict[str, object]:
    return {
        "verdict": outcome.verdict,
        "reasons": sorted(outcome.reasons),
        "exposed": sorted(outcome.exposed),
        "to": sorted(outcome.to),
        "message": outcome.message,
        "contradictions": list(outcome.contradictions),
        "exit_code": run.exit_code,
        "signal": run.signal,
        "timed_out": run.timed_out,
        "seconds": round(run.seconds, 3),
    }


def _json(data: object) -> bytes:
    return (json.dumps(data, indent=2) + "\n").encode()
