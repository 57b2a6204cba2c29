"""One record for each attack: everything that the lab, the scenario format, the verdict and the reports know about it.

Pure, and light: reading scenarios loads no TLS library, so a record names the classes that act and loads them on use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ftps_lab.server.handlers import RecordingControl

AttackName = Literal[
    "none",
    "intercept",
    "strip-auth",
    "refuse-auth",
    "drop-at-auth",
    "break-handshake",
    "inject-before-tls",
    "refuse-prot",
    "clear-data",
]
"""`none` and the names of `ATTACKS`, for type checkers and the JSON Schema; a test compares the two."""

AttackHow = Literal["close", "alert", "text"]
"""Values of `attack_how`."""

AttackKey = Literal["attack_certificate", "attack_reply", "attack_how"]
"""Keys of a server that configure its attack."""

TlsEnd = Literal["server", "attacker", "nobody"]
"""Where a client's TLS ends: at the intended server, at the attacker with its own certificate, or nowhere."""

Target = Literal["AUTH", "PROT", "handshake", "data"]
"""What an attacker answers instead of the server: a command, the TLS handshake after AUTH, or data connections."""

BehindAuth = Literal["tls", "alert", "text", "nothing"]
"""What can follow a server's 234 to AUTH on the wire."""


class Attack(Struct, frozen=True, kw_only=True):
    """One attack.

    Attributes:
        name: The value of `attack` in `[server]`, and `lab_attack` of the classes that carry it out.
        explicit: The class that serves clients of explicit FTPS: ``module:Class`` in `ftps_lab.attackers`.
        implicit: The same for implicit FTPS; None if there is nothing to attack (implicit FTPS has no AUTH).
        keys: The keys of `[server]` that belong to it.
        words: Human-readable description of the attack, with the values of `keys` in braces.
        ways: The text in `words` for each value of `attack_how`.
        effect: Effect this attack must have on a connection (`Connection.attack_effect`), with the values of `keys` and
            the name in braces.
        did: Label in a diagram for a connection where the attack took effect, with that `effect` in braces.
        acts_on: The part of a connection that it answers instead of the server; a relaying attacker answers everything.
        control_tls: Where the TLS of the control connection ends.
        data_tls: Where the TLS of data connections ends.
        relays: The attacker reads and writes all traffic between the client and the genuine server behind it.
        after_login: It acts after the login; any other must have taken effect before a login in TLS.
        behind_auth: Effect → the only thing that may follow the 234 to AUTH on the wire; for other effects anything
            but text may.
        hides_auth: A FEAT reply that lists AUTH must never reach the client.
        why_not_require_tls: Why `require_tls` is meaningless with this attack; empty if it has a meaning.
    """

    name: AttackName
    explicit: str
    implicit: str | None = None
    keys: tuple[AttackKey, ...] = ()
    words: str
    ways: Mapping[AttackHow, str] = {}
    effect: str = "{name}"
    did: str
    acts_on: tuple[Target, ...] = ()
    control_tls: TlsEnd
    data_tls: TlsEnd
    relays: bool = False
    after_login: bool = False
    behind_auth: Mapping[str, BehindAuth] = {}
    hides_auth: bool = False
    why_not_require_tls: str = ""

    @property
    def protocols(self) -> tuple[Literal["explicit", "implicit"], ...]:
        """The server protocols that this attack works on; plain FTP has no TLS to attack."""
        return ("explicit", "implicit") if self.implicit else ("explicit",)

    @property
    def intercepts(self) -> bool:
        """The attacker terminates TLS with a certificate of its own."""
        return self.control_tls == "attacker"

    @property
    def shows_certificate(self) -> bool:
        """A handshake on the control connection reaches the certificate."""
        return self.control_tls != "nobody"

    def handler(self, protocol: Literal["explicit", "implicit"]) -> type[RecordingControl]:
        """The class of the control connection; loads OpenSSL and pyftpdlib."""
        where = self.explicit if protocol == "explicit" else self.implicit
        assert where is not None, f"{self.name} does not work on {protocol} FTPS"
        module, _, name = where.partition(":")
        handler: type[RecordingControl] = getattr(import_module(f"ftps_lab.attackers.{module}"), name)
        return handler


_ALL: Final = (
    Attack(
        name="intercept",
        explicit="relay:Interceptor",
        implicit="relay:InterceptorImplicit",
        keys=("attack_certificate",),
        words="an interceptor terminates TLS in its place and shows {attack_certificate}",
        did="terminates TLS in the server's place",
        control_tls="attacker",
        data_tls="attacker",
        relays=True,
    ),
    Attack(
        name="strip-auth",
        explicit="relay:Stripper",
        keys=("attack_reply",),
        words="an attacker denies TLS with {attack_reply}, and relays the rest",
        did="denies TLS with {effect}",
        effect="{attack_reply}",
        control_tls="nobody",
        data_tls="nobody",
        relays=True,
        hides_auth=True,
    ),
    Attack(
        name="refuse-auth",
        explicit="downgrade:AuthRefused",
        keys=("attack_reply",),
        words="an attacker refuses AUTH with {attack_reply} in its place",
        did="refuses AUTH with {effect}",
        acts_on=("AUTH",),
        effect="{attack_reply}",
        control_tls="nobody",
        data_tls="nobody",
        why_not_require_tls="a server that refuses AUTH cannot require TLS; remove it",
    ),
    Attack(
        name="drop-at-auth",
        explicit="downgrade:DroppedAtAuth",
        words="an attacker cuts the connection at AUTH",
        did="cuts the connection at AUTH",
        acts_on=("AUTH",),
        control_tls="nobody",
        data_tls="nobody",
    ),
    Attack(
        name="break-handshake",
        explicit="downgrade:HandshakeBroken",
        keys=("attack_how",),
        words="an attacker answers the ClientHello by {attack_how}",
        ways={"close": "closing the connection", "alert": "sending a fatal alert", "text": "sending text in clear"},
        effect="{attack_how}",
        did="breaks the handshake: {effect}",
        acts_on=("handshake",),
        control_tls="nobody",
        data_tls="nobody",
        behind_auth={"close": "nothing", "alert": "alert", "text": "text"},
    ),
    Attack(
        name="inject-before-tls",
        explicit="downgrade:InjectedBeforeTls",
        words="an attacker adds forged replies in clear before TLS begins",
        did="adds forged replies after 234",
        control_tls="server",
        data_tls="server",
        behind_auth={"inject-before-tls": "text"},
    ),
    Attack(
        name="refuse-prot",
        explicit="downgrade:ProtRefused",
        implicit="downgrade:ProtRefusedImplicit",
        keys=("attack_reply",),
        words="PROT is refused with {attack_reply}",
        did="refuses PROT with {effect}",
        acts_on=("PROT",),
        effect="{attack_reply}",
        control_tls="server",
        data_tls="nobody",
        after_login=True,
    ),
    Attack(
        name="clear-data",
        explicit="downgrade:DataInClear",
        implicit="downgrade:DataInClearImplicit",
        words="an attacker answers data connections in clear, although PROT P was accepted",
        did="answers in clear, after PROT P",
        acts_on=("data",),
        control_tls="server",
        data_tls="nobody",
        after_login=True,
    ),
)

ATTACKS: Final[Mapping[str, Attack]] = {attack.name: attack for attack in _ALL}
"""Every attack by its name."""


def attack_keys(key: AttackKey) -> tuple[str, ...]:
    """The names of the attacks that a key belongs to."""
    return tuple(name for name, attack in ATTACKS.items() if key in attack.keys)
