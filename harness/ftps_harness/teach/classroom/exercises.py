"""The exercises: the goals, the trials against a learner's setup, and a hint for each failure. Pure.

A hint never gives a line of the rc; it says where to look.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

from ftps_lab.certificates import CertificateSpec, issue, twins
from ftps_lab.interface import ServerSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from ftps_harness.words import Folder
    from ftps_lab.certificates import Certificate

Wanted = Literal["accepted", "rejected"]


@dataclass(frozen=True, slots=True)
class Material:
    """The certificates of an exercise's host, with their keys.

    Attributes:
        now: The certificate that the genuine host presents.
        before: Its certificate before the last rotation; None if it never rotated.
        attacker: The certificate that the host's interceptor presents; None without one.
    """

    now: Certificate
    before: Certificate | None = None
    attacker: Certificate | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One connection of the learner's lftp to a server.

    Attributes:
        title: The server that it meets, in words.
        server: Makes that server; returns None if the classroom cannot play it yet.
        wanted: The required result.
        reason: The only reason that lftp may give; empty for any. Without a pin, lftp also refuses an expired
            certificate.
        hint: For a learner whose setup gives another result; it does not reveal the answer.
        host: The host name that lftp gets, if not the exercise's host.
        cwd: lftp's working folder.
    """

    title: str
    server: Callable[[Material], ServerSpec | None]
    wanted: Wanted
    hint: str
    reason: str = ""
    host: str = ""
    cwd: Folder = "lftp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exercise:
    """One exercise.

    Attributes:
        number: As in ``check 3``; also the number of its lesson.
        title: Its subject.
        host: The host's name in compose.yaml.
        trials: The trials to run.
        seen: The events that hosts must have seen from this learner: host, event, and a hint.
        missing: What to do if a trial's server cannot be played yet.
    """

    number: int
    title: str
    host: str
    trials: tuple[Trial, ...]
    seen: tuple[tuple[str, str, str], ...] = ()
    missing: str = ""


def _genuine(material: Material) -> ServerSpec:
    return ServerSpec(certificate=material.now)


def _impostor(certificate: Certificate) -> ServerSpec:
    return ServerSpec(certificate=certificate, role="impostor")


def _twin(material: Material) -> ServerSpec:
    return _impostor(twins({"": material.now})[""])


def _fresh_impostor(material: Material) -> ServerSpec:
    """An impostor with a self-signed certificate for the same name, valid today whatever the genuine one's dates."""
    name = material.now.x509.subject.rfc4514_string().removeprefix("CN=")
    return _impostor(issue({"": CertificateSpec(common_name=name, names=(name,))})[""])


def _intercepted(material: Material) -> ServerSpec | None:
    if material.attacker is None:
        return None
    return ServerSpec(certificate=material.now, attack="intercept", attack_certificate=material.attacker)


def _stripped(material: Material) -> ServerSpec:
    return ServerSpec(certificate=material.now, attack="strip-auth")


def _same_for_another_host(material: Material) -> ServerSpec:
    """A server with the pinned certificate and its key, under a name that is not in the certificate."""
    return _impostor(material.now)


def _former(material: Material) -> ServerSpec | None:
    return None if material.before is None else _impostor(material.before)


_REFUSED_TWIN: Final = Trial(
    title="an impostor with a copy of the certificate",
    server=_twin,
    wanted="rejected",
    hint="what does your lftp compare, and what has an impostor got that the genuine server has not?",
)


def _accepted(hint: str) -> Trial:
    return Trial(title="the genuine server", server=_genuine, wanted="accepted", hint=hint)


_ALL: Final = (
    Exercise(
        number=1,
        title="see the refusal",
        host="example",
        seen=(("example", "left before the login", "ask example.com for a listing, and read what lftp says"),),
        trials=(
            Trial(
                title="the document's server",
                server=_genuine,
                wanted="rejected",
                hint="lftp as it comes refuses it. Yours does not: what have you changed? (`fresh` begins anew)",
            ),
            replace(_REFUSED_TWIN, hint="lftp as it comes refuses it. Yours does not: what have you changed?"),
        ),
    ),
    Exercise(
        number=2,
        title="notice the bad cure",
        host="intercepted",
        seen=(
            (
                "intercepted",
                "password captured",
                "nobody has captured your password yet: take the bad cure, and visit intercepted.example.com",
            ),
        ),
        trials=(
            Trial(
                title="the interceptor that has your password",
                server=_intercepted,
                wanted="rejected",
                hint="it still gets your password: what made the message go away is still in force",
            ),
            replace(_REFUSED_TWIN, hint="others would get your password, too: the message is there for a reason"),
        ),
    ),
    Exercise(
        number=3,
        title="pin example.com",
        host="example",
        trials=(
            _accepted("your lftp refuses it: which certificate is in its file, and does it find that?"),
            replace(
                _accepted("it works in ~/.lftp and nowhere else: which folder is a file's name relative to?"),
                title="the genuine server, with lftp started in another folder",
                cwd="elsewhere",
            ),
            _REFUSED_TWIN,
        ),
    ),
    Exercise(
        number=4,
        title="keep the interceptor out",
        host="intercepted",
        trials=(
            _accepted("your lftp refuses it: did the certificate that you trust come through somebody's hands?"),
            Trial(
                title="the interceptor",
                server=_intercepted,
                wanted="rejected",
                hint="it gets your password: whose certificate have you pinned? Compare fingerprints with /handout",
            ),
            _REFUSED_TWIN,
        ),
    ),
    Exercise(
        number=5,
        title="a wrong name, for one host alone",
        host="mismatched",
        trials=(
            _accepted("your lftp refuses it: is it the certificate that it does not trust, or the name?"),
            Trial(
                title="the same certificate where you meant example.com",
                server=_same_for_another_host,
                wanted="rejected",
                host="example.com",
                hint="you no longer check any host's name. lftp settings can be for one host alone (man lftp: closure)",
            ),
            _REFUSED_TWIN,
        ),
    ),
    Exercise(
        number=6,
        title="a pin does not outlive its certificate",
        host="expired",
        trials=(
            Trial(
                title="the genuine server, whose certificate has expired",
                server=_genuine,
                wanted="rejected",
                reason="expired",
                hint="with the right pin it is refused for its date alone: is it pinned, and do you still check?",
            ),
            Trial(
                title="an impostor with a certificate that is valid today",
                server=_fresh_impostor,
                wanted="rejected",
                hint="it gets your password: an expired certificate is no reason to trust everybody",
            ),
        ),
    ),
    Exercise(
        number=7,
        title="pin again after a rotation",
        host="rotated",
        missing="rotated.example.com has not rotated yet: pin it, then ask the teacher to rotate it",
        trials=(
            _accepted("your lftp refuses it: which certificate does it show now? Compare what the teacher reads out"),
            Trial(
                title="somebody with the key of the former certificate",
                server=_former,
                wanted="rejected",
                hint="you still trust the certificate from before: how many are in your file?",
            ),
            _REFUSED_TWIN,
        ),
    ),
    Exercise(
        number=8,
        title="no TLS, no password",
        host="stripped",
        trials=(
            _accepted("your lftp refuses it: pin it first (what the teacher hands out is in /handout)"),
            Trial(
                title="somebody who denies that there is TLS",
                server=_stripped,
                wanted="rejected",
                reason="tls-required",
                hint="your pin is never asked when there is no TLS: what would make lftp insist on it?",
            ),
            _REFUSED_TWIN,
        ),
    ),
)

EXERCISES: Final = {exercise.number: exercise for exercise in _ALL}
"""The exercises by number."""
