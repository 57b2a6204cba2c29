"""Each step's control, which proves that a verdict is about trust, as data (docs/reference.md, "Controls"). Pure.

A refusal counts only if the same run succeeds with the refusing setting switched off; an acceptance counts only if an
impostor does not get the same. A dead port, a crash or a wrong password fails its control.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ftps_harness.errors import UsageError
from ftps_harness.play.login import ANONYMOUS, is_right

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ftps_harness.scenario import Expect, Reason, Receiver, Step, Verdict
    from ftps_harness.verdict.observations import Outcome


@dataclass(frozen=True, slots=True)
class Setting:
    """An lftp setting with a boolean value for every host."""

    name: str
    value: Literal["yes", "no"]

    def __str__(self) -> str:
        return f"{self.name} {self.value}"


VERIFICATION = Setting("ssl:verify-certificate", "no")
FORCE = Setting("ftp:ssl-force", "no")
ALLOW = Setting("ftp:ssl-allow", "yes")
ALLOW_ANONYMOUS = Setting("ftp:ssl-allow-anonymous", "yes")

_YES = frozenset({"yes", "true", "on", "1"})
_NO = frozenset({"no", "false", "off", "0"})


@dataclass(frozen=True, slots=True)
class Control:
    """One control: how it differs from the step, and which outcome it must have.

    Attributes:
        kind: Its name in reports.
        impostor: A twin of the served certificate answers: every field the same, all keys new.
        settings: The settings to change: every closure is unset, the value is set for all hosts and read back.
        right_login: Use the correct user and password instead of the step's.
        wanted: The verdicts that pass.
        reason: A reason that the refusal must have.
        to: A receiver that must be among those to which something is exposed.
    """

    kind: str
    wanted: tuple[Verdict, ...]
    reason: Reason | None = None
    to: Receiver | None = None
    impostor: bool = False
    settings: tuple[Setting, ...] = ()
    right_login: bool = False

    def shortcoming(self, outcome: Outcome) -> str:
        """What the outcome of this control fails to prove, as part of a sentence; empty if nothing."""
        if outcome.verdict not in self.wanted:
            return f"expected {' or '.join(self.wanted)}, but it was {outcome.verdict}"
        if outcome.doubtful:
            return f"it was {outcome.verdict}, but the witnesses disagree"
        if self.reason is not None and self.reason not in outcome.reasons:
            return f"expected the reason {self.reason}, but it was {', '.join(sorted(outcome.reasons))}"
        if self.to is not None and self.to not in outcome.to:
            return f"expected exposure to the {self.to}, but it was to the {', '.join(sorted(outcome.to))}"
        return ""


_THROUGH: tuple[Verdict, ...] = ("accepted", "exposed")

IMPOSTOR_REFUSED = Control("impostor-refused", ("rejected",), reason="untrusted", impostor=True)
"""Only the keys differ: a refusal for a reason other than trust, such as a failed handshake, proves no pin."""
IMPOSTOR_ACCEPTED = Control("impostor-accepted", ("exposed",), to="impostor", impostor=True)
VERIFICATION_OFF = Control("verification-off", _THROUGH, settings=(VERIFICATION,))
FORCE_OFF = Control("ssl-force-off", _THROUGH, settings=(FORCE,))
RIGHT_PASSWORD = Control("right-password", _THROUGH, right_login=True)
TLS_ALLOWED = Control("tls-allowed", _THROUGH, settings=(ALLOW,))
TLS_ALLOWED_ANONYMOUS = Control("tls-allowed", _THROUGH, settings=(ALLOW, ALLOW_ANONYMOUS))
"""The user and password are correct, and the server refuses any login outside TLS."""

_BY_NAME = {"impostor-refused": IMPOSTOR_REFUSED, "impostor-accepted": IMPOSTOR_ACCEPTED}


def control_for(step: Step, expect: Expect) -> Control | None:
    """Return the control of a step, or None if it needs none.

    Raises:
        UsageError: The scenario expects a refusal that no setting can switch off, and does not say
            ``control = "none"`` with its reason.
    """
    if step.control == "none":
        return None
    if expect.verdict == "accepted":
        return _BY_NAME[step.control or "impostor-refused"]
    if expect.verdict == "login-failed":
        return _of_refused_login(step)
    if expect.verdict != "rejected":
        return None
    reasons = expect.reasons or frozenset()
    if reasons == {"tls-required"}:
        return FORCE_OFF
    if reasons & {"tls-required", "tls-handshake"}:
        raise UsageError(
            f"step {step.title!r}: no rc setting explains a refusal with reason "
            f"{', '.join(sorted(reasons))}, so none can be switched off; "
            'write control = "none" and why_no_control'
        )
    return VERIFICATION_OFF


def _of_refused_login(step: Step) -> Control:
    """The control that proves that a login was refused for the reason that the step tests."""
    if not (step.server.require_tls and is_right(step)):
        return RIGHT_PASSWORD
    return TLS_ALLOWED_ANONYMOUS if step.user == ANONYMOUS else TLS_ALLOWED


def set_commands(setting: Setting, values: Mapping[str, str]) -> list[str]:
    """Return the lftp commands that give a setting a value for every host, whatever its closures.

    The value for all loses to closures (docs/lftp.md, "Closures"), so these go first.

    Args:
        setting: The setting to change.
        values: lftp's values for it in the same HOME, by closure; the global value has an empty closure.
    """
    closures = [closure for closure in values if closure]
    return [*(f'command set "{setting.name}/{closure}"' for closure in closures), f"command set {setting}"]


def is_set(setting: Setting, values: Mapping[str, str]) -> bool:
    """Whether lftp reports this value of the setting for every host."""
    return "" in values and all(value in (_YES if setting.value == "yes" else _NO) for value in values.values())
