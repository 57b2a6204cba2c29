"""The matrix as text: a line for each pair as it ends, the table of cells, the drift.

Without a terminal: plain lines of at most 80 columns, the same in every run except for seconds. Pure.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ftps_harness.matrix.answers import is_other_than_promised
from ftps_harness.matrix.builds import BUILDS, KINDS
from ftps_harness.report.plain import harmless, plural, whys, wrapped
from ftps_harness.report.tally import totals

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ftps_harness.matrix.baseline import Drift
    from ftps_harness.matrix.differences import Cell
    from ftps_harness.matrix.play import MatrixRun, PairResult
    from ftps_harness.play.runner import ScenarioResult

EXIT_CODES = {
    0: "every answer is as its scenario expects and its baseline records",
    1: "a step is not as its scenario expects, or an answer differs from its baseline",
    2: "wrong usage or a bad file",
    3: "something could not be judged or written",
    130: "interrupted",
}
"""docs/reference.md, "Exit codes"."""

_WORDS = {"pass": "ok", "fail": "FAIL", "error": "ERROR", "skip": "skip"}


def pair_line(pair: PairResult) -> str:
    """The line of a finished pair: ``bullseye × vsftpd: 36 ok, 3 skip in 12.3 s``."""
    return f"{pair.build} × {pair.kind}: {cell(pair, ', ')} in {pair.seconds:.1f} s"


def cell(pair: PairResult, between: str = " ") -> str:
    """A pair's counts in a few words; zeros are left out."""
    return between.join(f"{count} {_WORDS[status]}" for status, count in pair.counts.items() if count) or "nothing"


def cells(run: MatrixRun, width: int) -> Iterator[str]:
    """The table: a row for each build, a column for each server; a list if it is too wide."""
    builds = list(dict.fromkeys(pair.build for pair in run.pairs))
    kinds = list(dict.fromkeys(pair.kind for pair in run.pairs))
    found = {(pair.build, pair.kind): cell(pair) for pair in run.pairs}
    columns = [[kind, *(found.get((build, kind), "-") for build in builds)] for kind in kinds]
    columns.insert(0, ["", *builds])
    widths = [max(map(len, column)) for column in columns]
    if sum(widths) + 2 * (len(widths) - 1) <= width:
        for row in zip(*columns, strict=True):
            yield "  ".join(text.ljust(size) for text, size in zip(row, widths, strict=True)).rstrip()
        return
    for (build, kind), counts in found.items():
        yield f"{build} × {kind}: {counts}"


def builds(run: MatrixRun) -> Iterator[str]:
    """Each build as measured, and the witnesses of each server."""
    measured = {pair.build: pair.lftp for pair in run.pairs if pair.lftp is not None}
    for name, lftp in measured.items():
        yield harmless(f"{name}: lftp {lftp.version}, TLS by {lftp.tls}, dialect {lftp.dialect}")
    for kind in dict.fromkeys(pair.kind for pair in run.pairs):
        witnesses = sorted({each for pair in run.pairs if pair.kind == kind for each in _witnesses(pair)})
        if witnesses:
            yield f"{kind} ({KINDS[kind].what}): witnesses {', '.join(witnesses)}"
    for build, why in run.left_out:
        yield harmless(f"{build} ({BUILDS[build].what}) was left out: {why}")


def skipped(run: MatrixRun, width: int) -> Iterator[str]:
    """The skipped scenarios and why; cells with the same reason are grouped."""
    among = [(pair.build, pair.kind) for pair in run.pairs]
    reasons: dict[str, dict[str, list[Cell]]] = {}
    for pair in run.pairs:
        for result in pair.results:
            if result.status == "skip":
                scenarios = reasons.setdefault(result.why, {})
                scenarios.setdefault(result.scenario.id, []).append((pair.build, pair.kind))
    for why, scenarios in reasons.items():
        yield from wrapped(harmless(why), width)
        for scenario, where in scenarios.items():
            yield from hanging(f"{harmless(scenario)}: {everywhere(where, among)}", width)


def failures(run: MatrixRun, width: int) -> Iterator[str]:
    """Every failure and error, with the expectation."""
    for pair in run.pairs:
        for result in pair.results:
            if result.status in {"fail", "error"}:
                yield f"{_WORDS[result.status]} {pair.build} × {pair.kind}  {harmless(result.scenario.id)}"
                for line in _whys(result):
                    yield from hanging(line, width)


def promises(run: MatrixRun, width: int) -> Iterator[str]:
    """The answers to scenarios with a claim that differ from the main expectation."""
    found: dict[tuple[str, str, str], list[Cell]] = {}
    answered: dict[str, list[Cell]] = {}
    for pair in run.pairs:
        for result in pair.results:
            if result.steps:
                answered.setdefault(result.scenario.id, []).append((pair.build, pair.kind))
            for index, step in enumerate(result.steps):
                if result.scenario.claim and is_other_than_promised(result, index):
                    key = (result.scenario.claim, result.scenario.id, step.title)
                    found.setdefault(key, []).append((pair.build, pair.kind))
    for (claim, scenario, title), where in found.items():
        yield from wrapped(harmless(f"{claim} ({scenario}): {title}"), width)
        yield from hanging(everywhere(where, answered[scenario]), width)


def drift_lines(drifts: Sequence[Drift], width: int) -> Iterator[str]:
    """The differences from the baselines; equal ones on several servers are grouped, new ones only counted."""
    new = Counter(f"{each.build} × {each.kind}" for each in drifts if each.direction == "new")
    for cell_name, count in new.items():
        yield from wrapped(f"new: {cell_name}: {plural(count, 'answer')} without a baseline", width)
    grouped: dict[tuple[object, ...], list[str]] = {}
    for each in (each for each in drifts if each.direction != "new"):
        key = (each.direction, each.scenario, each.step, each.was, each.now, each.why)
        grouped.setdefault(key, []).append(f"{each.build} × {each.kind}")
    for (direction, scenario, step, was, now, why), where in grouped.items():
        yield from wrapped(harmless(f"{direction}: {scenario}, {step}"), width)
        yield from hanging(", ".join(where), width)
        yield from hanging(f"was: {_listed(was)}", width)
        yield from hanging(f"now: {_listed(now) or why or 'did not run'}", width)


def exit_lines(code: int, width: int) -> Iterator[str]:
    """What the exit code means, and what the others would mean."""
    others = "; ".join(f"{number}: {meaning}" for number, meaning in EXIT_CODES.items() if number != code)
    yield from wrapped(f"exit code {code}: {EXIT_CODES[code]} ({others})", width)


def summary(run: MatrixRun, drifts: Sequence[Drift]) -> str:
    """The closing line."""
    counts = totals([pair.counts for pair in run.pairs])
    left_out = f", {len(run.left_out)} left out" if run.left_out else ""
    return f"{counts} over {plural(len(run.pairs), 'pair')}{left_out}, {len(drifts)} drifted, in {run.seconds:.1f} s"


def everywhere(where: Sequence[Cell], among: Sequence[Cell]) -> str:
    """Name cells as briefly as possible: complete rows and columns of `among` by their names."""
    left = set(where)
    if left == set(among):
        return "everywhere"
    names = []
    for axis in (0, 1):
        for name in dict.fromkeys(cell[axis] for cell in among):
            line = {cell for cell in among if cell[axis] == name}
            if line <= left:
                names.append(name)
                left -= line
    return ", ".join([*names, *(" × ".join(cell) for cell in where if cell in left)])


def hanging(text: str, width: int) -> Iterator[str]:
    """The text below a heading, with a hanging indent."""
    first, *more = wrapped(text, width - 6) or [""]
    yield f"    {first}"
    yield from (f"      {line}" for line in more)


def _witnesses(pair: PairResult) -> Iterable[str]:
    for result in pair.results:
        for step in result.steps:
            yield f"client, {' + '.join(step.shown.testimony.sources)}, wire"


def _whys(result: ScenarioResult) -> Iterator[str]:
    if result.why:
        yield harmless(result.why)
    for number, step in enumerate(result.steps, 1):
        for sentence in whys(step):
            yield f"step {number} ({harmless(step.title)}): {sentence}"


def _listed(value: object) -> str:
    return " | ".join(map(str, value)) if isinstance(value, tuple) else str(value)
