"""What proves that a verdict is about trust: each step's control, as data (DESIGN.md 4, "Controls"). Pure.

A refusal counts only when the same run goes through once that which refuses is taken away; an acceptance only when an
impostor is not given the same. A dead port, a crash or a wrong password fails its control.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftps_harness.errors import UsageError

if TYPE_CHECKING:
    from ftps_harness.outcome import Verdict
    from ftps_harness.scenario import Expect, Step

VERIFICATION = "ssl:verify-certificate"
FORCE = "ftp:ssl-force"


@dataclass(frozen=True, slots=True)
class Control:
    """One control: what is different from the step, and what must come of it.

    Attributes:
        kind: Its name in reports.
        impostor: A twin of the served certificate answers, every field the same and all keys new.
        lift: The setting that is taken away: every closure unset, then set to ``no`` and read back.
        right_password: The run's secret password in the place of the step's.
        wanted: The verdicts that pass.
    """

    kind: str
    wanted: tuple[Verdict, ...]
    impostor: bool = False
    lift: str | None = None
    right_password: bool = False


_THROUGH: tuple[Verdict, ...] = ("accepted", "exposed")

IMPOSTOR_REFUSED = Control("impostor-refused", ("rejected",), impostor=True)
IMPOSTOR_ACCEPTED = Control("impostor-accepted", ("exposed",), impostor=True)
VERIFICATION_OFF = Control("verification-off", _THROUGH, lift=VERIFICATION)
FORCE_OFF = Control("ssl-force-off", _THROUGH, lift=FORCE)
RIGHT_PASSWORD = Control("right-password", _THROUGH, right_password=True)

_BY_NAME = {"impostor-refused": IMPOSTOR_REFUSED, "impostor-accepted": IMPOSTOR_ACCEPTED}


def control_for(step: Step, expect: Expect) -> Control | None:
    """The control of a step, or None where it needs none.

    Raises:
        UsageError: The scenario expects a refusal that no setting can be taken away for, and does not say
            ``control = "none"`` with its reason.
    """
    if step.control == "none":
        return None
    if step.control is not None:
        return _BY_NAME[step.control]
    if expect.verdict == "accepted":
        return IMPOSTOR_REFUSED
    if expect.verdict == "login-failed":
        return RIGHT_PASSWORD
    if expect.verdict != "rejected":
        return None
    reasons = expect.reasons or frozenset()
    if reasons == {"tls-required"}:
        return FORCE_OFF
    if reasons & {"tls-required", "tls-handshake"}:
        raise UsageError(
            f"step {step.title!r}: no rc setting can be taken away for a refusal of reason {', '.join(sorted(reasons))}; "
            'write control = "none" and why_no_control'
        )
    return VERIFICATION_OFF


def lift_commands(setting: str, settings: str) -> list[str]:
    """The lftp commands that take a setting away, whatever closures hold it.

    A global ``no`` loses to closures (FACTS.md: ``verify-certificate no`` loses to ``/* yes``), so these go first.

    Args:
        setting: Such as ``ssl:verify-certificate``.
        settings: What lftp's own ``set`` prints in the same HOME.
    """
    closures = re.findall(rf"^set {re.escape(setting)}/(\S+) ", settings, re.MULTILINE)
    return [*(f"set {setting}/{closure}" for closure in closures), f"set {setting} no"]


def is_lifted(setting: str, settings: str) -> bool:
    """Whether lftp's own ``set -a`` shows the setting switched off for every host."""
    lines = re.findall(rf"^set {re.escape(setting)}(/\S+)? (\S+)$", settings, re.MULTILINE)
    return bool(lines) and all(value in {"no", "false", "off", "0"} for _, value in lines)
