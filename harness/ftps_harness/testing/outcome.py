"""What one run of lftp came to, for a test to look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ftps_harness.attempt import Attempt
    from ftps_harness.scenario.tables import Reason, Receiver, Secret, Verdict
    from ftps_lab.testimony import Testimony


@dataclass(frozen=True, slots=True, repr=False)
class TestOutcome:
    """What happened in one run, for a test to look at.

    Attributes:
        verdict: One of docs/reference.md, "Verdicts".
        reasons: Why lftp refused.
        exposed: What reached somebody who must not have it.
        to: Whom.
        message: lftp's words, or everything on its standard error where it said none of a refusal.
        testimony: What the server witnessed during this run.
        attempt: All the rest: streams, debug log, raw bytes.
    """

    verdict: Verdict
    reasons: frozenset[Reason]
    exposed: frozenset[Secret]
    to: frozenset[Receiver]
    message: str
    testimony: Testimony
    attempt: Attempt

    __test__ = False  # its name begins with Test, but it is none

    def __repr__(self) -> str:
        from ftps_harness.report.plain import outcome_words

        doubt = "; the witnesses contradict each other" if self.attempt.outcome.contradictions else ""
        return f"<lftp's outcome: {outcome_words(self.attempt.outcome)}{doubt}>"

    def __str__(self) -> str:
        return "\n".join([repr(self), *self.evidence()])

    def evidence(self) -> list[str]:
        """All that the witnesses say, line by line: lftp's command, rc, streams and log, testimony and wire."""
        from ftps_harness.report.account import attempt_sections

        return [
            line
            for section in attempt_sections(self.attempt)
            for line in (section.heading, *(f"    {each}" for each in section.lines))
        ]
