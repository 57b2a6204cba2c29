"""One step on a page: what happened, as picture and list; the certificates; the evidence. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ftps_harness.report.account import Section, given_to_lftp, said_by_lftp, what_happened, witness_sections
from ftps_harness.report.html.certificates import comparisons
from ftps_harness.report.html.diagram import drawing
from ftps_harness.report.html.svg import picture, told
from ftps_harness.report.html.witnessed import interaction
from ftps_harness.report.plain import expectation_words, outcome_words, whys

if TYPE_CHECKING:
    from collections.abc import Iterator

    from markupsafe import Markup

    from ftps_harness.play.attempt import Attempt
    from ftps_harness.play.recording import Recording
    from ftps_harness.play.runner import StepResult
    from ftps_harness.report.html.certificates import Comparison
    from ftps_harness.report.html.sequence import Interaction
    from ftps_lab.certificates import Certificate


@dataclass(frozen=True, slots=True)
class EvidencePart:
    """The evidence of one run of lftp: its input, its output, and what the witnesses saw.

    Attributes:
        title: Which run it is, if there are several.
    """

    attempt: Attempt
    title: str = ""

    @property
    def contradictions(self) -> tuple[str, ...]:
        """Where the witnesses disagree."""
        return self.attempt.outcome.contradictions

    @property
    def groups(self) -> tuple[tuple[str, tuple[Section, ...]], ...]:
        """The same sections as in every other report, under three headings."""
        return (
            ("What lftp was given", tuple(given_to_lftp(self.attempt))),
            ("What lftp said", tuple(said_by_lftp(self.attempt))),
            ("What server and wire saw", tuple(witness_sections(self.attempt))),
        )

    @property
    def lines(self) -> Iterator[str]:
        """The same as plain lines, without lftp's debug log and without the settings that the lab gives every lftp."""
        attempt = self.attempt
        for section in (*given_to_lftp(attempt), *said_by_lftp(attempt, log=False), *witness_sections(attempt)):
            yield section.heading
            yield from (f"    {line}" for line in section.lines if not line.startswith("command set "))


@dataclass(frozen=True)  # no slots: `interaction` is cached
class RunView:
    """One run of a client: what happened, as picture and list, and the certificates that it was shown.

    Attributes:
        anchor: The prefix of all ids in its drawing.
        run: The run.
        genuine: The genuine server's certificate, if the lab knows it.
        title: What it is, in a few words.
    """

    anchor: str
    run: Attempt | Recording
    genuine: Certificate | None
    title: str = "What happened, as it was recorded"

    @cached_property
    def interaction(self) -> Interaction:
        """The recorded interaction."""
        return interaction(self.run, self.genuine)

    @property
    def picture(self) -> Markup:
        """The interaction as a picture, whose arrows link to the items of `told`."""
        return picture(drawing(self.interaction), self.anchor)

    @property
    def told(self) -> Markup:
        """The interaction as a list, with the evidence."""
        return told(self.interaction, self.anchor)

    @property
    def certificates(self) -> tuple[Comparison, ...]:
        """The certificates that the client was shown, next to the genuine one."""
        return comparisons(self.run, self.genuine)


@dataclass(frozen=True, slots=True)
class StepView:
    """One step.

    Attributes:
        anchor: Its id on the page, and the prefix of all ids in its drawing.
        number: From 1.
        result: The step's result.
        drawn: Whether what happened is drawn.
        full: Whether all evidence is laid out; otherwise it is plain text.
    """

    anchor: str
    number: int
    result: StepResult
    drawn: bool = True
    full: bool = True

    @property
    def happened(self) -> str:
        """What happened, in a few words."""
        return what_happened(self.result)

    @property
    def expected(self) -> str:
        """What was expected, in a few words."""
        return expectation_words(self.result.expect)

    @property
    def why(self) -> tuple[str, ...]:
        """Every deviation from the expectation."""
        return whys(self.result)

    @property
    def recorded(self) -> RunView:
        """The run that is shown."""
        return RunView(self.anchor, self.result.shown, self.result.genuine)

    @property
    def control(self) -> str:
        """Its control and the result; empty without a control."""
        control = self.result.control
        return f"{control.kind}: {outcome_words(control.attempt.outcome)}" if control else ""

    @property
    def evidence(self) -> Iterator[EvidencePart]:
        """The run of lftp that the verdict is about, and that of its control if the control failed."""
        several = len(self.result.attempts)
        number = self.result.attempts.index(self.result.shown) + 1
        yield EvidencePart(self.result.shown, f"Run {number} of {several}" if several > 1 else "")
        if self.result.control is not None and self.result.control.judgement.status != "pass":
            yield EvidencePart(self.result.control.attempt, f"Its control: {self.result.control.kind}")
