"""Remarks about steps that are as expected: lftp's error messages, and steps without a control. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftps_harness.client.messages import is_about_setup
from ftps_harness.report.account import Section
from ftps_harness.report.plain import harmless, lines_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ftps_harness.play.runner import ScenarioResult, StepResult
    from ftps_harness.report.tally import BuildRun

_FEW = 5
"""Maximum number of scenarios for which reasons are shown in full."""

_LINES = 5
"""How many of lftp's lines are shown for each step; `--keep` and `--json` have all of them."""


def remarks(run: BuildRun) -> Iterator[Section]:
    """Yield a heading for each kind of remark, with a line for each step that it concerns."""
    said = tuple(line for result in run.results for line in _said(result))
    if said:
        yield Section("other lftp messages, in steps that are as expected", said)
    uncontrolled = [(result, line) for result in run.results for line in _uncontrolled(result)]
    if len(run.results) <= _FEW and uncontrolled:
        yield Section("no control ran, for the reason that the scenario gives", tuple(line for _, line in uncontrolled))
    elif uncontrolled:
        names = ", ".join(dict.fromkeys(harmless(result.scenario.id) for result, _ in uncontrolled))
        yield Section("these have steps without a control; `ftps-lab show` gives the reason for each", (names,))


def beside_the_verdict(step: StepResult) -> tuple[str, ...]:
    """lftp's distinct lines on standard error, without the refusals that the verdict is about."""
    lines: dict[str, None] = {}
    for attempt in step.attempts:
        refusals = {harmless(word.text) for word in attempt.client.words if word.kind in {"reason", "login", "retries"}}
        lines |= dict.fromkeys(line for line in lines_of(attempt.run.stderr) if line and line not in refusals)
    return tuple(lines)


def _said(result: ScenarioResult) -> Iterator[str]:
    for number, step in enumerate(result.steps, 1):
        lines = (*beside_the_verdict(step), *_logged(step)) if step.status == "pass" else ()
        if lines:
            yield _where(result, number)
            yield from (f"  {line}" for line in lines[:_LINES])
            if len(lines) > _LINES:
                yield f"  ({len(lines) - _LINES} more lines)"


def _logged(step: StepResult) -> Iterator[str]:
    """Errors about the setup that appear only in lftp's debug log; expected ones need no remark."""
    wanted = step.expect.message
    found = dict.fromkeys(line for attempt in step.attempts for line in attempt.client.log_notes)
    for line in found:
        if is_about_setup(line) and (wanted is None or wanted not in line):
            yield f"only in its debug log: {harmless(line)}"


def _uncontrolled(result: ScenarioResult) -> Iterator[str]:
    """A line for each reason for a missing control, with its steps."""
    steps: dict[str, list[int]] = {}
    for number, (step, _) in enumerate(zip(result.scenario.steps, result.steps, strict=False), 1):
        if step.control == "none":
            steps.setdefault(harmless(step.why_no_control or ""), []).append(number)
    yield from (f"{_where(result, *numbers)}: {why}" for why, numbers in steps.items())


def _where(result: ScenarioResult, *numbers: int) -> str:
    which = f", step{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}"
    return f"{harmless(result.scenario.id)}{which if len(result.scenario.steps) > 1 else ''}"
