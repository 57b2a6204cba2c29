"""Outcome × expectation → pass, fail or error, with the reason in a sentence. Pure.

`error` means that the lab could not prove anything (exit code 3): an unexpected inconclusive, hung, crashed or
unreachable step. It is never a pass, and never mistaken for a broken promise.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ftps_harness.scenario import Expect
    from ftps_harness.verdict.observations import Outcome
    from ftps_lab.testimony import Handshake

Status = Literal["pass", "fail", "error"]

UNPROVEN = frozenset({"inconclusive", "hung", "crashed", "unreachable"})
"""Verdicts that prove nothing unless a scenario expects them by name, which it cannot for `inconclusive`."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether a step is as expected, and each difference, a sentence each."""

    status: Status
    why: tuple[str, ...] = ()


class Seen(NamedTuple):
    """One run of a step, as far as it is compared.

    Attributes:
        outcome: What happened.
        said: lftp's own text, which must contain `message`.
        handshakes: The TLS handshakes that the server saw.
    """

    outcome: Outcome
    said: str
    handshakes: tuple[Handshake, ...] = ()


def judge(outcome: Outcome, expect: Expect, said: str, handshakes: tuple[Handshake, ...] = ()) -> Judgement:
    """Compare one outcome with the scenario's expectation.

    Args:
        outcome: What happened.
        expect: The scenario's expectation for this lftp's dialect and version.
        said: lftp's own text, which must contain `message`.
        handshakes: The TLS handshakes that the server saw.
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
    if expect.message is not None and _plain_quotes(expect.message) not in _plain_quotes(said):
        differences.append(f"lftp did not print {expect.message!r}")
    unknown, others = _tls_differences(expect, [handshake for handshake in handshakes if handshake.completed])
    differences += others
    if differences:
        return Judgement("fail", tuple(differences))
    return Judgement("error", tuple(unknown)) if unknown else Judgement("pass")


def _tls_differences(expect: Expect, finished: Sequence[Handshake]) -> tuple[list[str], list[str]]:
    """Expected properties that no completed handshake had, and unexpected ones, a sentence each."""
    unknown, differences = [], []
    for name, wanted, values in (
        ("tls", expect.tls, [handshake.version.removeprefix("TLSv") for handshake in finished]),
        ("cipher", expect.cipher, [handshake.cipher for handshake in finished]),
        ("server_name", expect.server_name, [handshake.server_name or "" for handshake in finished]),
    ):
        if wanted is None:
            continue
        actual = frozenset(values)
        if not actual:
            differences.append(f"{name}: expected {_listed(wanted)}, but no TLS handshake was completed")
        elif name != "server_name" and "" in actual:
            unknown.append(f"{name}: this server's record does not say which one each handshake had")
        elif frozenset(wanted) != actual:
            differences.append(f"{name}: expected {_listed(wanted)}, but it was {_listed(actual)}")
    return unknown, differences


def _listed(values: Iterable[str]) -> str:
    return ", ".join(sorted(value or "no name" for value in values)) or "none"


def judge_repeated(runs: Sequence[Seen], expect: Expect) -> Judgement:
    """Compare several runs of one step with how often the scenario expects its result.

    ``always``: each run is as expected. ``sometimes``: at least one is, and every other shows one of `otherwise`.
    """
    judgements = [judge(run.outcome, expect, run.said, run.handshakes) for run in runs]
    if expect.how_often == "always":
        worst = [j for j in judgements if j.status == "error"] or [j for j in judgements if j.status == "fail"]
        return worst[0] if worst else Judgement("pass")
    outcomes = [run.outcome for run in runs]
    doubtful = [outcome for outcome in outcomes if outcome.doubtful]
    if doubtful:
        return _in_doubt(doubtful[0])
    counts = counted(outcomes)
    shown = ", ".join(f"{verdict} {count}×" for verdict, count in counts.items())
    others = [(o, j) for o, j in zip(outcomes, judgements, strict=True) if j.status != "pass"]
    strange = [o.verdict for o, _ in others if o.verdict not in expect.otherwise]
    if expect.verdict in strange and not UNPROVEN.intersection(strange):  # something else about it was not as expected
        return next(j for o, j in others if o.verdict == expect.verdict)
    if strange:
        status: Status = "error" if UNPROVEN.intersection(strange) else "fail"
        return Judgement(
            status, (f"only {expect.verdict} or {', '.join(expect.otherwise)} may occur, but the runs were: {shown}",)
        )
    if len(others) == len(outcomes):
        return Judgement("fail", (f"{expect.verdict} never occurred: {shown}",))
    return Judgement("pass")


def occurs(run: Seen, expect: Expect) -> bool:
    """Whether one run is completely as expected."""
    return judge(run.outcome, expect, run.said, run.handshakes).status == "pass"


def counted(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """How often each verdict occurred, most frequent first."""
    return dict(Counter(outcome.verdict for outcome in outcomes).most_common())


def _plain_quotes(text: str) -> str:
    """lftp quotes as its locale does; a message must match in every locale."""
    return text.replace("‘", "'").replace("’", "'")  # noqa: RUF001


def _in_doubt(outcome: Outcome) -> Judgement:
    return Judgement("error", (f"it was {outcome.verdict}, but the witnesses contradict each other{_detail(outcome)}",))


def _detail(outcome: Outcome) -> str:
    return "".join(f"; {sentence}" for sentence in outcome.contradictions)


def _differs(name: str, wanted: object, actual: frozenset[str]) -> str:
    wanted_text = ", ".join(sorted(wanted)) if isinstance(wanted, (frozenset, set, tuple, list)) else str(wanted)
    return f"{name}: expected {wanted_text or 'none'}, but it was {', '.join(sorted(actual)) or 'none'}"
