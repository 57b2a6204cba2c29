"""What a reader should know of steps that passed all the same. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftps_harness.messages import is_about_setup
from ftps_harness.report.plain import harmless

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ftps_harness.runner import ScenarioResult, StepResult


def notes(results: Iterable[ScenarioResult]) -> Iterator[str]:
    """Complaints about the set-up that stand in lftp's debug log alone, a harmless sentence each.

    A step that did not pass has its evidence, which holds them.
    """
    for result in results:
        for number, step in enumerate(result.steps, 1):
            if step.status == "pass":
                for complaint in _complaints(step):
                    yield harmless(f"{result.scenario.id}, step {number}: lftp's debug log alone says: {complaint}")


def _complaints(step: StepResult) -> dict[str, None]:
    """Each once, in order; what the scenario itself expects needs no note."""
    wanted = step.expect.message
    found = (complaint for attempt in step.attempts for complaint in attempt.client.log_notes)
    return dict.fromkeys(each for each in found if is_about_setup(each) and (wanted is None or wanted not in each))
