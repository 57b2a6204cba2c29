"""`--explain`: the meaning of a finding, in the words of docs/verify.md. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftps_harness.verify.findings import KINDS
from ftps_harness.verify.trials import TRIALS

if TYPE_CHECKING:
    from collections.abc import Iterator

KINDS_OF_TRIALS = {
    "no-verification": ("impostor", "data"),
    "wrong-name-accepted": ("name",),
    "expired-accepted": ("expired",),
    "tls-not-required": ("strip",),
    "password-before-verification": ("impostor",),
    "prot-refused": ("prot",),
    "tls12-data": ("data-1.2",),
    "upload-before-verification": ("data", "impostor"),
    "anonymous-in-clear": ("anonymous",),
}
"""Finding → the kinds of trials that can show it."""


def explain(kind: str) -> str:
    """The page of a finding, as text."""
    return "\n".join(_lines(kind))


def _lines(kind: str) -> Iterator[str]:
    record = KINDS[kind]
    yield f"{record.id} ({record.severity})"
    yield ""
    yield record.title
    yield ""
    yield f"What to do: {record.cure}"
    trials = [trial for trial in TRIALS if trial.kind in KINDS_OF_TRIALS.get(kind, ())]
    if trials:
        yield ""
        yield "Trials that can show it:"
        yield from (f"  {trial.name:<26} {trial.title}" for trial in trials)
