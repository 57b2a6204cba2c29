"""Outcome × expectation → pass, fail or error, with the reason in a sentence. Pure.

`error` means that the lab could not prove anything (exit code 3): an inconclusive, hung, crashed or unreachable step
that nobody expected. It is never a pass, and never mistaken for a broken promise.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ftps_harness.outcome import Outcome
    from ftps_harness.scenario import Expect

Status = Literal["pass", "fail", "error"]

UNPROVEN = frozenset({"inconclusive", "hung", "crashed", "unreachable"})
"""Verdicts that prove nothing unless a scenario expects them by name; `inconclusive` never can be."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether a step is as expected, and what is not, a sentence each."""

    status: Status
    why: tuple[str, ...] = ()


def judge(outcome: Outcome, expect: Expect, said: str) -> Judgement:
    """Hold one outcome against what the scenario expects.

    Args:
        outcome: What happened.
        expect: What the scenario says, for this lftp's dialect and version.
        said: lftp's own text, in which `message` must occur.
    """
    if outcome.verdict != expect.verdict:
        status: Status = "error" if outcome.verdict in UNPROVEN else "fail"
        return Judgement(status, (f"expected {expect.verdict}, but it was {outcome.verdict}{_detail(outcome)}",))
    if outcome.doubtful:
        return _in_doubt(outcome)
    differences = [
        _differs(name, wanted, actual)
        for name, wanted, actual in (
            ("reasons", expect.reasons, outcome.reasons),
            ("exposed", expect.exposed, outcome.exposed),
            ("to", expect.to, outcome.to),
        )
        if wanted is not None and frozenset(wanted) != actual
    ]
    if expect.message is not None and expect.message not in said:
        differences.append(f"lftp did not print {expect.message!r}")
    return Judgement("fail" if differences else "pass", tuple(differences))


def judge_repeated(outcomes: Sequence[tuple[Outcome, str]], expect: Expect) -> Judgement:
    """Hold several runs of one step against what the scenario says of how often.

    ``always``: each of them is as expected. ``sometimes``: at least one is, and every other shows one of `otherwise`.
    """
    judgements = [judge(outcome, expect, said) for outcome, said in outcomes]
    if expect.how_often == "always":
        worst = [j for j in judgements if j.status == "error"] or [j for j in judgements if j.status == "fail"]
        return worst[0] if worst else Judgement("pass")
    doubtful = [outcome for outcome, _ in outcomes if outcome.doubtful]
    if doubtful:
        return _in_doubt(doubtful[0])
    counts = counted([outcome for outcome, _ in outcomes])
    shown = ", ".join(f"{verdict} {count}×" for verdict, count in counts.items())
    others = [o for (o, _), j in zip(outcomes, judgements, strict=True) if j.status != "pass"]
    strange = [o.verdict for o in others if o.verdict not in expect.otherwise]
    if strange:
        status: Status = "error" if UNPROVEN.intersection(strange) else "fail"
        return Judgement(status, (f"besides {expect.verdict} only {', '.join(expect.otherwise)} may happen: {shown}",))
    if len(others) == len(outcomes):
        return Judgement("fail", (f"{expect.verdict} was never seen: {shown}",))
    return Judgement("pass")


def counted(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """How often each verdict came, most frequent first."""
    return dict(Counter(outcome.verdict for outcome in outcomes).most_common())


def _in_doubt(outcome: Outcome) -> Judgement:
    return Judgement("error", (f"it was {outcome.verdict}, but the witnesses do not agree{_detail(outcome)}",))


def _detail(outcome: Outcome) -> str:
    return "".join(f"; {sentence}" for sentence in outcome.contradictions)


def _differs(name: str, wanted: object, actual: frozenset[str]) -> str:
    wanted_text = ", ".join(sorted(wanted)) if isinstance(wanted, (frozenset, set, tuple, list)) else str(wanted)
    return f"{name}: expected {wanted_text or 'none'}, but it was {', '.join(sorted(actual)) or 'none'}"
