"""The outcome of one lftp run, for a test to examine; every failure that it causes shows the evidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, cast, get_args

from ftps_harness.scenario.problems import did_you_mean
from ftps_harness.scenario.tables import Reason, Receiver, Secret, Verdict
from ftps_harness.testing import arguments
from ftps_harness.testing.arguments import ArgumentError, shown_value

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from ftps_harness.play.attempt import Attempt
    from ftps_lab.testimony import Testimony

__tracebackhide__ = arguments.hidden


class Word(str):
    """A verdict that knows its outcome, so that a failed comparison shows the evidence; otherwise a plain `str`."""

    __slots__ = ("outcome",)
    outcome: TestOutcome


class Words(frozenset[str]):
    """The same for sets such as the reasons; otherwise a plain `frozenset`."""

    __slots__ = ("outcome",)
    outcome: TestOutcome

    def __repr__(self) -> str:
        return repr(set(self)) if self else "set()"


@dataclass(frozen=True, slots=True, repr=False)
class TestOutcome:
    """The outcome of one run, for a test to examine.

    Attributes:
        verdict: One of docs/reference.md, "Verdicts".
        reasons: Why lftp refused.
        exposed: The secrets that reached a receiver who must not get them.
        to: Those receivers.
        message: lftp's message about a refusal, or else everything on its standard error.
        testimony: The server's testimony of this run.
        attempt: Everything else: streams, debug log, raw bytes.
    """

    verdict: Verdict
    reasons: frozenset[Reason]
    exposed: frozenset[Secret]
    to: frozenset[Receiver]
    message: str
    testimony: Testimony
    attempt: Attempt

    __test__ = False  # not a test class, although its name begins with Test

    @classmethod
    def of(cls, done: Attempt) -> TestOutcome:
        """The outcome of an attempt."""
        outcome = done.outcome
        verdict, reasons, exposed, to = (
            Word(outcome.verdict),
            *map(Words, (outcome.reasons, outcome.exposed, outcome.to)),
        )
        made = cls(
            verdict=cast("Verdict", verdict),
            reasons=cast("frozenset[Reason]", reasons),
            exposed=cast("frozenset[Secret]", exposed),
            to=cast("frozenset[Receiver]", to),
            message=outcome.message or done.run.stderr.decode("utf-8", "replace"),
            testimony=done.testimony,
            attempt=done,
        )
        for value in (verdict, reasons, exposed, to):
            value.outcome = made
        return made

    def check(
        self,
        verdict: Verdict | None = None,
        *,
        reasons: Reason | Collection[Reason] | None = None,
        exposed: Secret | Collection[Secret] | None = None,
        to: Receiver | Collection[Receiver] | None = None,
        message: str | None = None,
    ) -> Self:
        """Compare this outcome with what a test expects; omitted arguments are not compared.

        Args:
            verdict: The verdict.
            reasons: All reasons, one or several.
            exposed: Everything that is exposed.
            to: All receivers of it.
            message: Text that lftp must have printed.

        Returns:
            The same outcome.

        Raises:
            AssertionError: The outcome differs, or the witnesses contradict each other; the message shows the evidence.
            ArgumentError: There is nothing to compare, or a word does not exist.
        """
        __tracebackhide__ = True
        wanted = {"reasons": reasons, "exposed": exposed, "to": to}
        sets = {name: _words(name, value) for name, value in wanted.items() if value is not None}
        if verdict is not None:
            _words("verdict", verdict)
        if verdict is None and not sets and message is None:
            raise ArgumentError("check() compares nothing; name a verdict, reasons, exposed, to or message")
        if why := list(self._differences(verdict, sets, message)):
            raise AssertionError("\n".join([*why, repr(self), *self.evidence()]))
        return self

    def _differences(self, verdict: str | None, sets: dict[str, frozenset[str]], message: str | None) -> Iterator[str]:
        """The differences from the expected outcome, a sentence each."""
        if verdict is not None and verdict != self.verdict:
            yield f"expected {verdict}, but it was {self._words()}"
        elif self.attempt.outcome.doubtful:
            yield f"it was {self._words()}, but the witnesses contradict each other"
        for name, wanted in sets.items():
            if wanted != (actual := getattr(self, name)):
                shown = (", ".join(sorted(words)) or "none" for words in (wanted, actual))
                yield "{}: expected {}, but it was {}".format(name, *shown)
        if message is not None and message not in self.attempt.said:
            yield f"lftp did not print {message!r}"

    def __repr__(self) -> str:
        doubt = "; the witnesses contradict each other" if self.attempt.outcome.contradictions else ""
        return f"<lftp's outcome: {self._words()}{doubt}>"

    def __str__(self) -> str:
        return "\n".join([repr(self), *self.evidence()])

    def _words(self) -> str:
        from ftps_harness.report.plain import outcome_words  # only failures need reports

        return outcome_words(self.attempt.outcome)

    def evidence(self) -> list[str]:
        """The evidence of all witnesses, line by line: lftp's command, rc, streams and log, testimony and wire."""
        from ftps_harness.report.account import attempt_sections  # as above

        return [
            line
            for section in attempt_sections(self.attempt)
            for line in (section.heading, *(f"    {each}" for each in section.lines))
        ]


_ALLOWED: dict[str, Any] = {"verdict": Verdict, "reasons": Reason, "exposed": Secret, "to": Receiver}


def _words(name: str, value: object) -> frozenset[str]:
    """One word or several as a set.

    Raises:
        ArgumentError: A word does not exist, so no outcome could ever have it.
    """
    given = [value] if isinstance(value, str) else value
    allowed = get_args(_ALLOWED[name])
    if not isinstance(given, list | tuple | set | frozenset):
        raise ArgumentError(f"check({name}=…): give one of {', '.join(allowed)}, or several, not {shown_value(value)}")
    for word in given:
        if word not in allowed:
            near = did_you_mean(word, allowed)
            raise ArgumentError(f"check({name}=…): unknown word {shown_value(word)}.{near} Use {', '.join(allowed)}")
    return frozenset(given)


def explain_comparison(op: str, left: object, right: object) -> list[str] | None:
    """For `pytest_assertrepr_compare`: both sides in one line, then the evidence; None if no outcome is compared."""
    found = next((each for each in (left, right) if isinstance(each, Word | Words)), None)
    if found is None or not hasattr(found, "outcome"):
        return None
    outcome = found.outcome
    return [f"{left!r} {op} {right!r}", f"it was {outcome!r}", *outcome.evidence()]
