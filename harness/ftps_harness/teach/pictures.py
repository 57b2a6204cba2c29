"""docs/pictures: four pictures of real runs, one file each.

    python -m ftps_harness.teach.pictures [--check] FOLDER

The same lab always draws the same pictures: random values (names, fingerprints, keys) and the results of races are left
out or replaced with letters. `--check` plays the runs again and says which file differs.
"""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from ftps_harness.client.lftp import find, identify
from ftps_harness.errors import HarnessError
from ftps_harness.play.runner import Options, run_scenario
from ftps_harness.report.html import standalone
from ftps_harness.report.html.certificates import comparisons
from ftps_harness.report.html.diagram import drawing
from ftps_harness.report.html.sequence import Interaction, folded
from ftps_harness.report.html.witnessed import interaction
from ftps_harness.scenario.selection import choose_one, load_all

if TYPE_CHECKING:
    from collections.abc import Callable

    from ftps_harness.client.lftp import Lftp
    from ftps_harness.play.runner import StepResult
    from ftps_harness.report.html.sequence import Arrow

_RANDOM: Final = re.compile(r"\b(file|put|tree|user)-[a-z0-9]{8,}")
"""Names that the lab makes up for a run (`ftps_harness.sandbox.secrets`)."""

_LISTING: Final = re.compile(r"\blisting, \d+ bytes")
"""Its length depends on the names of the user and group who play the run."""

_FINGERPRINT: Final = re.compile(r"^(?:[0-9A-F]{2}:)+[0-9A-F]{2}… ?")


class Picture(NamedTuple):
    """One picture.

    Attributes:
        scenario: The scenario to play: its first step that exposes the password, or else its first step.
        title: What the picture shows.
        keep: Whether the picture includes an arrow.
    """

    scenario: str
    title: str
    keep: Callable[[Arrow], bool]


def _two_sessions(arrow: Arrow) -> bool:
    return not arrow.data and arrow.kind in {"attack", "handshake", "password", "captured"}


def _control_and_data(arrow: Arrow) -> bool:
    verb = arrow.label.partition(" ")[0]
    if arrow.kind == "transfer":
        return arrow.several.partition(" ")[0] in {"LIST", "RETR"}
    return arrow.kind in {"connect", "handshake", "password"} or verb in {"AUTH", "USER", "PROT", "LIST", "RETR"}


def _downgrade(arrow: Arrow) -> bool:
    of_client = "client" in {arrow.source, arrow.target} and not arrow.data
    shown = arrow.kind in {"connect", "password", "readable"} or arrow.label.partition(" ")[0] in {"AUTH", "USER"}
    return (of_client and shown) or arrow.kind in {"attack", "captured", "ending"}


PICTURES: Final = {
    "interceptor": Picture("attack/intercept-copy", "An interceptor's two TLS sessions", _two_sessions),
    "control-and-data": Picture(
        "document/pinned-certificate-connects", "Control connection and data connections", _control_and_data
    ),
    "downgrade-timeline": Picture("attack/strip-auth", "The downgrade: the attacker strips TLS", _downgrade),
}
"""File name → the picture."""

TWIN: Final = "same-certificate-other-key"
"""The file with the certificates of the interceptor's run."""


def pictures(client: Lftp) -> dict[str, str]:
    """Play the runs and draw them: file name → its text.

    Raises:
        HarnessError: A run did not go as its scenario expects, so the picture would show something else.
    """
    steps = {each.scenario: _played(each.scenario, client) for each in PICTURES.values()}
    drawn = {f"{name}.svg": _drawn(each, steps[each.scenario]) for name, each in PICTURES.items()}
    return {**drawn, f"{TWIN}.svg": _certificates(steps["attack/intercept-copy"])}


def _played(name: str, client: Lftp) -> StepResult:
    [scenario] = load_all([choose_one(name)])
    result = run_scenario(scenario, client, Options(controls=False))
    if result.status != "pass":
        raise HarnessError(f"{name} is not as expected here, so nothing is drawn: run `ftps-lab run {name}` to see why")
    exposing = (step for step in result.steps if "password" in step.shown.outcome.exposed)
    return next(exposing, result.steps[0])


def _drawn(picture: Picture, step: StepResult) -> str:
    whole = interaction(step.shown, step.genuine)
    kept = [_normal(arrow) for arrow in sorted(whole.arrows, key=_when) if picture.keep(arrow)]
    # Which of an interceptor's two handshakes ends first is a race, so the client's is drawn first.
    its_own = [each for each in kept if each.kind == "handshake" and each.source == "attacker"]
    ordered = [each for each in kept if each not in its_own]
    first = next((at for at, each in enumerate(ordered, 1) if each.kind == "handshake"), 0)
    ordered[first:first] = its_own
    shown = {who for each in ordered for who in (each.source, each.target)}
    lanes = tuple(lane for lane in whole.lanes if lane.who in shown)
    return standalone.diagram(drawing(Interaction(lanes, folded(_once(ordered)))), picture.title)


def _when(arrow: Arrow) -> float:
    """An arrow's time; an arrow without one comes last."""
    return float("inf") if arrow.at is None else arrow.at


def _once(arrows: list[Arrow]) -> list[Arrow]:
    """Remove repetitions: a second login or file shows nothing new."""
    return list({arrow.like: arrow for arrow in reversed(arrows)}.values())[::-1]


def _normal(arrow: Arrow) -> Arrow:
    """Remove what is random or what a race decides, such as 125 or 150 (RFC 959 section 5.4)."""
    label = _LISTING.sub("listing", _RANDOM.sub(r"\1", arrow.label))
    reply = "1xx" if arrow.reply in {"125", "150"} else arrow.reply
    return replace(arrow, label=label, text=label, note=_FINGERPRINT.sub("", arrow.note), reply=reply)


def _certificates(step: StepResult) -> str:
    [compared] = comparisons(step.shown, step.genuine)
    rows = []
    for row in compared.rows:
        values = (row.genuine, row.shown)
        if row.differs:
            values = ("A", "B")
        elif re.search(r"[0-9A-F]{16}|[0-9A-F]{2}:|\d{4}-\d\d", row.shown):
            values = ("the same", "the same")
        rows.append((row.name, *values, row.differs))
    return standalone.table(("Field", "Genuine", "The attacker's"), rows, "The same certificate with another key")


def main(arguments: list[str]) -> int:
    """Write the files, or compare them."""
    check, folder = "--check" in arguments, Path(arguments[-1])
    differing = []
    for name, text in pictures(identify(find(None))).items():
        path = folder / name
        if check and (not path.is_file() or path.read_text("utf-8") != text):
            differing.append(name)
        elif not check:
            folder.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    if differing:
        print(f"{folder}: {', '.join(differing)} out of date; run `make pictures`")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
