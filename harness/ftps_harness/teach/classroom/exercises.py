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
    hint="what does your lftp compare, and what does the genuine server have that an impostor cannot copy?",
)


def _accepted(hint: str) -> Trial:
    return Trial(title="the genuine server", server=_genuine, wanted="accepted", hint=hint)


_ALL: Final = (
    Exercise(
        number=1,
        title="see the refusal",
        host="example",
        seen=(("example", "left before the login", "list the files on example.com, and read what lftp prints"),),
        trials=(
            Trial(
                title="the document's server",
                server=_genuine,
                wanted="rejected",
                hint="an unchanged lftp refuses it, but yours does not: what have you changed? (`fresh` starts over)",
            ),
            replace(_REFUSED_TWIN, hint="an unchanged lftp refuses it, but yours does not: what have you changed?"),
        ),
    ),
    Exercise(
        number=2,
        title="recognize the bad cure",
        host="intercepted",
        seen=(
            (
                "intercepted",
                "password captured",
                "your password has not been captured yet: try the bad cure, and connect to intercepted.example.com",
            ),
        ),
        trials=(
            Trial(
                title="the interceptor that has your password",
                server=_intercepted,
                wanted="rejected",
                hint="it still gets your password: the line that made the message disappear is still in force",
            ),
            replace(_REFUSED_TWIN, hint="other impostors would get your password too: lftp had a reason to refuse"),
        ),
    ),
    Exercise(
        number=3,
        title="pin example.com",
        host="example",
        trials=(
            _accepted("your lftp refuses it: which certificate is in the pin file, and does lftp find the file?"),
            replace(
                _accepted("it works in ~/.lftp and nowhere else: from which folder does lftp resolve a relative path?"),
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
            _accepted("your lftp refuses it: did you fetch the certificate that you trust through an interceptor?"),
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
        title="accept a wrong name for one host only",
        host="mismatched",
        trials=(
            _accepted("your lftp refuses it: because it does not trust the certificate, or because of the name?"),
            Trial(
                title="the same certificate under the name example.com",
                server=_same_for_another_host,
                wanted="rejected",
                host="example.com",
                hint="your lftp no longer checks any host's name: limit the setting to one host (man lftp: closure)",
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
                hint="with the right pin, only the date is wrong: is it pinned, and is verification still on?",
            ),
            Trial(
                title="an impostor with a certificate that is valid today",
                server=_fresh_impostor,
                wanted="rejected",
                hint="it gets your password: an expired certificate is not a reason to trust every server",
            ),
        ),
    ),
    Exercise(
        number=7,
        title="pin again after a rotation",
        host="rotated",
        missing="rotated.example.com has not rotated yet: pin it, then ask the teacher to rotate it",
        trials=(
            _accepted(
                "your lftp refuses it: which certificate does it show now? Compare it with what the teacher reads out"
            ),
            Trial(
                title="an impostor with the key of the old certificate",
                server=_former,
                wanted="rejected",
                hint="you still trust the old certificate: how many certificates are in your file?",
            ),
            _REFUSED_TWIN,
        ),
    ),
    Exercise(
        number=8,
        title="no TLS, no password",
        host="stripped",
        trials=(
            _accepted("your lftp refuses it: pin it first (the teacher's files are in /handout)"),
            Trial(
                title="an attacker that strips TLS",
                server=_stripped,
                wanted="rejected",
                reason="tls-required",
                hint="without TLS, lftp never uses your pin: what would make lftp demand TLS?",
            ),
            _REFUSED_TWIN,
        ),
    ),
)

EXERCISES: Final = {exercise.number: exercise for exercise in _ALL}
"""The exercises by number."""
