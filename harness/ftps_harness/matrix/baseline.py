"""What each build answered to each scenario on each server, committed as data, and what is different now.

One file for each build, ``scenarios/baselines/BUILD.json``: scenario, step, answer, the servers that it was given to.
A new answer is drift, for better or worse, and so is one that is missing now: neither is ever passed over in silence.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from ftps_harness.errors import HarnessError, UsageError
from ftps_harness.matrix.answers import UNEXPECTED, answers
from ftps_harness.report import files

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from ftps_harness.client.lftp import Lftp
    from ftps_harness.matrix.play import PairResult
    from ftps_harness.play.runner import ScenarioResult

FOLDER = "baselines"
"""Below the folder of the scenarios."""

SCHEMA = 1

LFTP = "lftp"
"""In the place of a scenario: the build itself is not the one that the baseline was made with."""

Direction = Literal["better", "worse", "new", "other", "missing"]

Steps = dict[str, dict[str, list[str]]]
"""Step → answer → the servers that it was given to."""


@dataclass(slots=True)
class Baseline:
    """What one build answered.

    Attributes:
        path: Its file.
        lftp: Version, TLS library and dialect as measured then; empty where there is no file.
        scenarios: By scenario.
    """

    path: Path
    lftp: dict[str, str] = field(default_factory=dict)
    scenarios: dict[str, Steps] = field(default_factory=dict)

    def given(self, scenario: str, step: str, kind: str) -> frozenset[str]:
        """The answers that were given to a step on a server."""
        known = self.scenarios.get(scenario, {}).get(step, {})
        return frozenset(answer for answer, kinds in known.items() if kind in kinds)


@dataclass(frozen=True, slots=True)
class Drift:
    """One answer that is not the baseline's.

    Attributes:
        was: The baseline's answers; empty where it has none.
        now: Today's; empty where the step was not carried out.
    """

    build: str
    kind: str
    scenario: str
    step: str
    was: tuple[str, ...]
    now: tuple[str, ...]
    why: str = ""

    @property
    def direction(self) -> Direction:
        """Better: it is as the scenario expects it, and was not."""
        if not self.was or not self.now:
            return "missing" if self.was else "new"
        before, after = _unexpected(self.was), _unexpected(self.now)
        if before == after:
            return "other"
        return "better" if before else "worse"


def read(folder: Path, build: str) -> Baseline:
    """The baseline of a build; an empty one where there is no file.

    Raises:
        UsageError: The file is no baseline.
    """
    path = folder / FOLDER / f"{build}.json"
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return Baseline(path)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from None
    try:
        data = json.loads(text)
        if data["schema"] != SCHEMA:
            raise UsageError(
                f"{path}: this is a baseline of schema {data['schema']!r}, and this version reads {SCHEMA}"
            )
        scenarios = {
            str(scenario): {
                str(step): {str(answer): kinds.split(", ") for answer, kinds in given.items()}
                for step, given in steps.items()
            }
            for scenario, steps in data["scenarios"].items()
        }
        return Baseline(path, {str(key): str(value) for key, value in data["lftp"].items()}, scenarios)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        again = "make it anew: remove it, then ftps-lab matrix --update-baseline"
        raise UsageError(f"{path}: this is no baseline ({type(error).__name__}: {error}); {again}") from None


def drift(baseline: Baseline, pair: PairResult) -> Iterator[Drift]:
    """What a pair answered otherwise than the baseline says, in the order of the scenarios.

    A repeated step may give any of the answers that it gave before; what it gave before and does not give today is no
    drift. A scenario that broke, or was skipped, answers nothing. An image that holds another lftp than it did is drift
    too, also where that one answers alike.
    """
    yield from _of_lftp(baseline, pair)
    for result in pair.results:
        now = {step.title: answers(step) for step in result.steps} if result.status != "error" else {}
        known = baseline.scenarios.get(result.scenario.id, {})
        for title in dict.fromkeys([*known, *(step.title for step in result.scenario.steps)]):
            was = baseline.given(result.scenario.id, title, pair.kind)
            given = now.get(title, ())
            if (given and not was.issuperset(given)) or (was and not given):
                yield Drift(pair.build, pair.kind, result.scenario.id, title, tuple(sorted(was)), given, result.why)


def updated(baseline: Baseline, pairs: Iterable[PairResult]) -> Baseline:
    """The baseline with today's answers in the place of those to the same scenarios on the same servers.

    What broke answers nothing, and leaves what was there. A repeated step keeps what it answered before.
    """
    new = Baseline(baseline.path, dict(baseline.lftp), {s: _copied(steps) for s, steps in baseline.scenarios.items()})
    for pair in pairs:
        if pair.lftp is not None:
            new.lftp = _measured(pair.lftp)
        for result in pair.results:
            if result.status != "error":
                new.scenarios[result.scenario.id] = _with(new.scenarios.get(result.scenario.id, {}), result, pair.kind)
    return new


def write(baseline: Baseline) -> None:
    """Write its file, sorted, so that two of them compare line by line.

    Raises:
        HarnessError: It cannot be written.
    """
    data = {
        "schema": SCHEMA,
        "lftp": baseline.lftp,
        "scenarios": {
            scenario: {
                step: {answer: ", ".join(kinds) for answer, kinds in given.items()}
                for step, given in baseline.scenarios[scenario].items()
            }
            for scenario in sorted(baseline.scenarios)
        },
    }
    try:
        baseline.path.parent.mkdir(exist_ok=True)
    except OSError as error:
        raise HarnessError(f"cannot make {baseline.path.parent}: {error.strerror}") from error
    files.write(str(baseline.path), json.dumps(data, indent=1, ensure_ascii=False) + "\n")


def _with(steps: Steps, result: ScenarioResult, kind: str) -> Steps:
    """A scenario's steps, those of the scenario as it is now, with one server's answers of today."""
    merged: Steps = {}
    done = {step.title: step for step in result.steps}
    for step in result.scenario.steps:
        given = _copied(steps).get(step.title, {})
        today = done.get(step.title)
        repeated = today is not None and len(today.attempts) > 1
        servers = {answer: {each for each in kinds if each != kind or repeated} for answer, kinds in given.items()}
        for answer in answers(today) if today is not None else ():
            servers.setdefault(answer, set()).add(kind)
        merged[step.title] = {answer: sorted(kinds) for answer, kinds in sorted(servers.items()) if kinds}
    return {title: given for title, given in merged.items() if given}


def _copied(steps: Steps) -> Steps:
    return {title: {answer: list(kinds) for answer, kinds in given.items()} for title, given in steps.items()}


def _of_lftp(baseline: Baseline, pair: PairResult) -> Iterator[Drift]:
    if pair.lftp is not None and pair.results and baseline.lftp:
        was, now = _told(baseline.lftp), _told(_measured(pair.lftp))
        if was != now:
            yield Drift(pair.build, pair.kind, LFTP, "version and dialect", (was,), (now,))


def _measured(lftp: Lftp) -> dict[str, str]:
    return {"version": lftp.version, "tls": lftp.tls, "dialect": lftp.dialect}


def _told(lftp: Mapping[str, str]) -> str:
    """Without the TLS library's version, which every security update changes: what matters of it shows in answers."""
    return f"lftp {lftp.get('version', '?')}, dialect {lftp.get('dialect', '?')}"


def _unexpected(given: Iterable[str]) -> bool:
    return any(answer.startswith(UNEXPECTED) for answer in given)
