"""The interface to a server of the lab, wherever it runs: what a server is, and which calls it takes. Pure.

Three classes implement it: `ftps_lab.servers.FtpsServer` serves in a thread of this process,
`ftps_lab.daemons.DaemonServer` runs a real daemon, and `ftps_lab.remote.handle.RemoteServer` controls either of them
through an agent elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Protocol

from ftps_lab.attackers import ATTACKS
from ftps_lab.errors import LabError
from ftps_lab.testimony import Record

if TYPE_CHECKING:
    from ftps_lab.attackers import Attack, AttackHow
    from ftps_lab.certificates import Certificate
    from ftps_lab.testimony import Testimony, Wire

LAB_KIND = "lab"
"""The kind of our own server; every other kind is a key of `ftps_lab.daemons.DAEMONS`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSpec:
    """The definition of a server: the keys of `[server]` in a scenario, with certificates instead of their names.

    The greeting is not a key of scenarios: only programs set it, and only our own server supports it.

    Attributes:
        certificate: Shown on the control connection; None only for ``plain``.
        data_certificate: Shown on data connections; None means the same one.
        require_tls: Refuse USER before TLS and data connections in clear.
        tls: The versions offered, such as ``("1.2", "1.3")``.
        user: The only user that may log in, besides ``anonymous``; None for any.
        password: Accepted instead of the password that the server was started with.
        attack: The attacker between the clients and this server: a key of `ftps_lab.attackers.ATTACKS`, or ``none``.
        attack_certificate: The interceptor's own; None means a twin of `certificate`.
        attack_reply: The reply code of an attack that has this key (RFC 959 section 4.2).
        attack_how: How an attack that has this key acts.
        greeting: The text of the 220, with newlines for several lines (RFC 959 section 4.2); empty for the usual one.
        greeting_in_pieces: Send it byte by byte, each in its own segment (in TLS, its own record).
    """

    protocol: Literal["explicit", "implicit", "plain"] = "explicit"
    certificate: Certificate | None = None
    chain: tuple[Certificate, ...] = ()
    data_certificate: Certificate | None = None
    role: Literal["genuine", "impostor"] = "genuine"
    require_tls: bool = False
    tls: tuple[str, ...] = ("1.2", "1.3")
    user: str | None = None
    password: str | None = None
    attack: str = "none"
    attack_certificate: Certificate | None = None
    attack_reply: int = 502
    attack_how: AttackHow = "alert"
    greeting: str = ""
    greeting_in_pieces: bool = False

    @property
    def attacker(self) -> Attack | None:
        """The record of the attack; None for ``none``."""
        return ATTACKS.get(self.attack)

    @property
    def behind(self) -> ServerSpec | None:
        """The genuine server that an attacker in the middle talks to; None without such an attacker."""
        relayed = self.attacker is not None and self.attacker.relays
        return replace(self, attack="none", attack_certificate=None) if relayed else None

    @property
    def effect(self) -> str:
        """The effect that the attack must have on a connection (`Connection.attack_effect`); empty for ``none``."""
        if self.attacker is None:
            return ""
        return self.attacker.effect.format(name=self.attack, attack_reply=self.attack_reply, attack_how=self.attack_how)

    @property
    def intercepted(self) -> bool:
        """Whether an attacker terminates TLS with `attack_certificate`."""
        return self.attacker is not None and self.attacker.intercepts

    @property
    def sent(self) -> tuple[Certificate, ...]:
        """All certificates that a client can see in its handshakes."""
        if self.intercepted:
            own = self.attack_certificate
            return (own, *own.chain) if own else ()
        shown = (self.certificate, self.data_certificate, *self.chain)
        return tuple(certificate for certificate in shown if certificate is not None)

    @property
    def answers_as(self) -> Literal["genuine", "impostor"]:
        """The role of the server that a client's connections reach."""
        return "impostor" if self.behind else self.role


class Server(Protocol):
    """A running server and what it witnessed.

    Attributes:
        host: The address that it listens on.
        port: Its control port there.
    """

    host: str
    port: int

    def change(self, spec: ServerSpec) -> None:
        """Become another server from the next connection on; the address stays."""

    def change_after(self, connections: int, spec: ServerSpec) -> None:  # noqa: ARG002 - for those who can
        """Become another server after this many control connections, counted from the next `begin` or `record`.

        The testimony then covers only the later connections; the bytes of the earlier ones are in `Record.before`.

        Args:
            connections: 1 or more.
            spec: The server that it becomes.

        Raises:
            LabError: This is not the lab's own server; only that one can do it.
        """
        raise LabError("only the lab's own server can change in the middle of a run")

    def record(self) -> None:
        """Start a new record."""

    def settle(self, timeout: float = ...) -> bool:
        """Wait until all client activity is recorded; False if a connection is still open after `timeout` seconds."""

    def testimony(self) -> Testimony:
        """What the server witnessed since `record`."""

    def wire(self) -> Wire:
        """The raw bytes since `record`."""

    def begin(self) -> bool:
        """Start a new record; False if it already has a connection, so it does not belong to the next client alone."""
        self.record()
        return not self.testimony().connections

    def finish(self, timeout: float = 5.0) -> Record:
        """`settle`, then `testimony` and `wire`."""
        complete = self.settle(timeout)
        return Record(complete, self.testimony(), self.wire())

    def stop(self) -> None:
        """Stop the server; repeatable."""
