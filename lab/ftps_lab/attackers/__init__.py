"""Attackers on loopback, each between a client and the lab's own genuine server; they have no mode for anything else.

`ATTACKS` says for each attack which control connection the client meets instead of the genuine one:

- `downgrade`: no key, no certificate; TLS is spoilt by changing an answer.
- `relay`: in the middle; `endpoint`, `genuine` and `data` are its parts, `addresses` what they talk about.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ftps_lab.attackers.downgrade import (
    AuthRefused,
    DataInClear,
    DataInClearImplicit,
    DroppedAtAuth,
    HandshakeBroken,
    InjectedBeforeTls,
    ProtRefused,
    ProtRefusedImplicit,
)
from ftps_lab.attackers.genuine import Genuine
from ftps_lab.attackers.relay import Interceptor, InterceptorImplicit, Stripper

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ftps_lab.server.handlers import RecordingControl

ATTACKS: Final[Mapping[str, Mapping[str, type[RecordingControl]]]] = {
    "intercept": {"explicit": Interceptor, "implicit": InterceptorImplicit},
    "strip-auth": {"explicit": Stripper},
    "refuse-auth": {"explicit": AuthRefused},
    "drop-at-auth": {"explicit": DroppedAtAuth},
    "break-handshake": {"explicit": HandshakeBroken},
    "inject-before-tls": {"explicit": InjectedBeforeTls},
    "refuse-prot": {"explicit": ProtRefused, "implicit": ProtRefusedImplicit},
    "clear-data": {"explicit": DataInClear, "implicit": DataInClearImplicit},
}
"""Attack → protocol → what a client meets. Where a protocol is missing there is nothing to attack: implicit FTPS knows
no AUTH, plain FTP no TLS."""

__all__ = ["ATTACKS", "Genuine"]
