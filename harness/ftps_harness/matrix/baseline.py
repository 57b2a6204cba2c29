"""Baselines: each build's committed answers to each scenario on each server, and the differences today.

One file for each build, ``scenarios/baselines/BUILD.json``: scenario, step, answer, the servers that got it.
A new answer is drift, for better or worse, and so is a missing one: both are always reported.
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
"""Name of the folder, below the scenarios."""

SCHEMA = 1

LFTP = "lftp"
"""Replaces the scenario's name in a drift of the build itself: it differs from the one in the baseline."""

Direction = Literal["better", "worse", "new", "other", "missing"]

Steps = dict[str, dict[str, list[str]]]
"""Step → answer → the servers that got it."""


@dataclass(slots=True)
class Baseline:
    """One build's committed answers.

    Attributes:
        path: The baseline's file.
        lftp: Version, TLS library and dialect as measured then; empty if the file does not exist.
        scenarios: The answers by scenario.
    """

    path: Path
    lftp: dict[str, str] = field(default_factory=dict)
    scenarios: dict[str, Steps] = field(default_factory=dict)

    def given(self, scenario: str, step: str, kind: str) -> frozenset[str]:
        """The answers to a step on a server."""
        known = self.scenarios.get(scenario, {}).get(step, {})
        return frozenset(answer for answer, kinds in known.items() if kind in kinds)


@dataclass(frozen=True, slots=True)
class Drift:
    """One answer that differs from the baseline.

    Attributes:
        was: The baseline's answers; empty if it has none.
        now: Today's answers; empty if the step did not run.
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
        """The direction of the drift; better: the answer is as the scenario expects, and was not before."""
        if not self.was or not self.now:
            return "missing" if self.was else "new"
        before, after = _unexpected(self.was), _unexpected(self.now)
        if before == after:
            return "other"
        return "better" if before else "worse"


def read(folder: Path, build: str) -> Baseline:
    """Read the baseline of a build; an empty one if the file does not exist.

    Raises:
        UsageError: The file is not a baseline.
    """
    path = folder / FOLDER / f"{build}.json"
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return Baseline(path)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    try:
        data = json.loads(text)
        if data["schema"] != SCHEMA:
            raise UsageError(f"{path}: the baseline has schema {data['schema']!r}, but this ftps-lab reads {SCHEMA}")
        scenarios = {
            str(scenario): {
                str(step): {str(answer): kinds.split(", ") for answer, kinds in given.items()}
                for step, given in steps.items()
            }
            for scenario, steps in data["scenarios"].items()
        }
        return Baseline(path, {str(key): str(value) for key, value in data["lftp"].items()}, scenarios)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        again = "remove it, then run ftps-lab matrix --update-baseline"
        raise UsageError(f"{path}: not a baseline ({type(error).__name__}: {error}); {again}") from None


def drift(baseline: Baseline, pair: PairResult) -> Iterator[Drift]:
    """Yield each answer of a pair that differs from the baseline, in the order of the scenarios.

    A repeated step may give any of its earlier answers, and a missing earlier answer is not drift. A scenario with an
    error, or one that was skipped, has no answer. An image with a different lftp than before is drift too, even if the
    new one gives the same answers.
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
    """Return the baseline with today's answers replacing those to the same scenarios on the same servers.

    A scenario with an error has no answer, and its old answers stay. A repeated step keeps its earlier answers.
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
    """Write its file, sorted, so that two versions can be compared line by line.

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
    """The steps of the current scenario, with one server's answers of today."""
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
        was, now = _in_words(baseline.lftp), _in_words(_measured(pair.lftp))
        if was != now:
            yield Drift(pair.build, pair.kind, LFTP, "version and dialect", (was,), (now,))


def _measured(lftp: Lftp) -> dict[str, str]:
    return {"version": lftp.version, "tls": lftp.tls, "dialect": lftp.dialect}


def _in_words(lftp: Mapping[str, str]) -> str:
    """The build without its TLS library version: every security update changes it, and answers show its effect."""
    return f"lftp {lftp.get('version', '?')}, dialect {lftp.get('dialect', '?')}"


def _unexpected(given: Iterable[str]) -> bool:
    return any(answer.startswith(UNEXPECTED) for answer in given)
