"""Turns the witnesses' records of one run into the arrows of its sequence. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from ftps_harness.play.recording import Recording
from ftps_harness.report.html.sequence import MAJOR, MASK, READABLE, Arrow, Interaction, Lane, Wording, folded
from ftps_harness.report.plain import plural
from ftps_harness.verdict.needles import is_secret
from ftps_lab.attackers import ATTACKS
from ftps_lab.testimony import LISTINGS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ftps_harness.play.attempt import Attempt
    from ftps_harness.report.html.sequence import Who
    from ftps_harness.verdict.observations import WireAccount
    from ftps_lab.attackers import Attack
    from ftps_lab.certificates import Certificate
    from ftps_lab.testimony import Alert, Command, Connection, Credential, Handshake, Testimony, Transfer

_LETTERS: Final = 11
"""Characters of a fingerprint that the picture shows: four bytes."""

ORDINARY_END: Final = "close_notify"
"""The alert that ends TLS properly (RFC 8446 section 6.1): every connection has it, so it is not drawn."""

_ITS_OWN: Final = frozenset({"AUTH", "PROT"})
"""Commands that an attacker itself sends to the genuine server; not interesting next to those of the client."""

NAMES: Final[Mapping[Who, str]] = {"client": "Client", "attacker": "Attacker", "server": "Server"}


def interaction(run: Attempt | Recording, genuine: Certificate | None = None) -> Interaction:
    """Return what happened in one run of a client.

    Args:
        run: The run, with its witnesses.
        genuine: The genuine server's certificate, if the lab knows it, to name certificates.
    """
    made = run if isinstance(run, Recording) else run.recording
    testimony = made.testimony
    behind = testimony.behind
    passwords = [*testimony.passwords, *(behind.passwords if behind else ()), *made.secrets]
    words = Wording(passwords)
    known = _known(made, genuine)
    mine = _Account(testimony, "client", _far_end(testimony), words, known, made.exposure)
    arrows = list(mine.arrows())
    if behind is not None:
        theirs = _Account(behind, "attacker", "server", words, known, stolen=frozenset(testimony.passwords))
        arrows += theirs.arrows()
    timed = sorted(_timed(arrows), key=lambda each: each[0])  # stable: equal times keep their order
    ordered = [arrow for _, arrow in timed]
    ordered += _unplaced(made, ordered, words)
    return Interaction(_lanes(made), folded(ordered))


def _known(made: Recording, genuine: Certificate | None) -> dict[str, str]:
    """Names of the certificates that handshakes can show, by SHA-256 fingerprint."""
    names: dict[str, str] = {}
    spec = made.spec
    if spec is not None and spec.attack_certificate is not None:
        names[spec.attack_certificate.sha256] = "the attacker's certificate"
    if spec is not None and spec.data_certificate is not None:
        names[spec.data_certificate.sha256] = "not the control connection's certificate"
    if spec is not None and spec.certificate is not None:
        names[spec.certificate.sha256] = "the impostor's certificate" if spec.role == "impostor" else "its certificate"
    if genuine is not None:
        names[genuine.sha256] = "the genuine certificate"
    return names


def _far_end(testimony: Testimony) -> Who:
    return "attacker" if testimony.role == "impostor" else "server"


def _attack(testimony: Testimony) -> Attack | None:
    """The attack that the client met, according to the connections."""
    return next((ATTACKS[c.attack] for c in testimony.connections if c.attack in ATTACKS), None)


def _lanes(made: Recording) -> tuple[Lane, ...]:
    testimony = made.testimony
    client = Lane("client", "Client", made.program)
    server = Lane("server", "Server", "genuine")
    if testimony.role == "impostor" and testimony.behind is None:
        return client, Lane("attacker", "Impostor", "not the server")
    if testimony.behind is not None or _attack(testimony) is not None:
        return client, Lane("attacker", "Attacker", "on the path"), server
    return client, server


def _timed(arrows: list[Arrow]) -> Iterator[tuple[float, Arrow]]:
    """Give each arrow a time: if its own is unknown, that of the previous arrow in its account."""
    last = 0.0
    for arrow in arrows:
        last = last if arrow.at is None else arrow.at
        yield last, arrow


def _unplaced(made: Recording, arrows: list[Arrow], words: Wording) -> Iterator[Arrow]:
    """The events without a time, which are shown at the end."""
    exposure = made.exposure
    client: dict[str, Any] = {"source": "client", "target": "client"}
    if not made.testimony.connections:
        text = "No connection arrived at the server."
        yield Arrow(kind="nobody", **client, label="no connection", text=text, witness="the server's record")
    if exposure.password and not any(arrow.kind == "readable" for arrow in arrows):
        text = "A password is readable in the raw bytes of this run."
        yield Arrow(kind="readable", **client, label=READABLE, text=text, witness="the wire", alarm=True)
    for phrase in exposure.elsewhere.reached:
        text = f"It also reached {words(phrase)}; what was sent there has no witness."
        yield Arrow(kind="elsewhere", **client, label="reaches another host", text=text, witness="the wire", alarm=True)
    reasons = sorted(made.reasons)
    said = f' It said: "{words(made.message)}"' if made.message else ""
    label = f"refuses: {', '.join(reasons)}" if reasons else made.ending
    text, note = f"The client {made.ending}.{said}", made.ending if reasons else ""
    yield Arrow(kind="ending", **client, label=label, text=text, witness="the client", note=note)


@dataclass(frozen=True, slots=True)
class _Account:
    """The account of one server, and the two parties.

    Attributes:
        near: The server's client.
        far: The server.
        known: Names of certificates.
        exposure: The wire's account of these connections, if any.
        stolen: Passwords that the server's client obtained from another party.
    """

    told: Testimony
    near: Who
    far: Who
    words: Wording
    known: Mapping[str, str]
    exposure: WireAccount | None = None
    stolen: frozenset[str] = field(default=frozenset())

    def arrows(self) -> Iterator[Arrow]:
        """All arrows of all connections."""
        for connection in self.told.connections:
            yield from self._on(connection)

    def _on(self, connection: Connection) -> Iterator[Arrow]:
        """The arrows of one connection, in the usual order of a session; times decide the final order."""
        told, number = self.told, connection.number
        credentials = [each for each in told.credentials if each.connection == number]
        commands = [each for each in told.commands if each.connection == number]
        handshakes = [each for each in told.handshakes if each.connection == number]
        transfers = [each for each in told.transfers if each.connection == number]
        if connection.kind == "control" or not (handshakes or transfers):
            yield self._connect(connection)
        waiting = iter(credentials)
        in_clear = [each for each in commands if each.channel == "clear"]
        for command in in_clear:
            yield from self._command(connection, command, waiting)
        quiet = [each for each in handshakes if transfers and self._is_ordinary(connection, each)]
        for handshake in (each for each in handshakes if each not in quiet):
            yield self._handshake(connection, handshake)
        for command in (each for each in commands if each.channel == "tls"):
            yield from self._command(connection, command, waiting)
        for credential in waiting:  # a login without a recorded command
            yield from self._password(connection, None, credential)
        for transfer in transfers:
            yield self._transfer(connection, transfer, quiet)
        for alert in (each for each in told.alerts if each.connection == number and each.description != ORDINARY_END):
            yield self._alert(connection, alert)
        if connection.attack_effect:
            yield self._attacked(connection)
        if connection.kind == "control" and not credentials and connection.closed_at is not None:
            yield self._closed(connection)

    @property
    def _witness(self) -> str:
        whose = {"attacker": "the attacker's record", "server": "the server's record"}[self.far]
        if self.near == "attacker":
            whose = "the genuine server's record"
        return whose if self.told.sources == ("server",) else f"{whose} ({', '.join(self.told.sources)})"

    def _common(self, connection: Connection, *, to: Who | None = None, reverse: bool = False) -> dict[str, Any]:
        far = to or self.far
        return {
            "source": far if reverse else self.near,
            "target": self.near if reverse else far,
            "witness": self._witness,
            "connection": f"{connection.kind} connection {connection.number}",
            "data": connection.kind == "data",
        }

    def _answerer(self, connection: Connection, what: str) -> Who:
        """The party that answers this: an on-path attacker, if it acts on this and had its effect."""
        attack = _attack(self.told)
        if attack is not None and connection.attack_effect and what in attack.acts_on:
            return "attacker"
        return self.far

    def _connect(self, connection: Connection) -> Arrow:
        volume = self._volume(connection)
        port = f"From port {connection.peer[1]}{volume}."
        error = f" It ended in an error: {self.words(connection.error)}." if connection.error else ""
        if connection.kind == "data":
            text = f"Nothing was transferred on it. {port}{error}"
            return Arrow(
                kind="connect", label="no transfer", several="data connection", text=text, at=connection.opened,
                minor=True, evidence=(connection,), **self._common(connection),
            )  # fmt: skip
        greeting = " The greeting, 220, was sent." if connection.greeted else " No greeting was sent."
        return Arrow(
            kind="connect", label="connects", text=f"{port}{greeting}{error}", at=connection.opened,
            reply="220" if connection.greeted else "", evidence=(connection,), **self._common(connection),
        )  # fmt: skip

    def _volume(self, connection: Connection) -> str:
        if self.exposure is None:
            return ""
        whole = zip(self.exposure.connections, self.exposure.volumes, strict=False)
        here = (connection.kind, connection.peer[1])
        for up, down in (volume for place, volume in whole if place == here):
            return f"; on the wire {up} bytes to the server and {down} to the client"
        return ""

    def _command(self, connection: Connection, command: Command, waiting: Iterator[Credential]) -> Iterator[Arrow]:
        if command.verb == "PASS" and (credential := next(waiting, None)) is not None:
            yield from self._password(connection, command, credential)
            return
        said = self.words(f"{command.verb} {command.argument}".strip()) or "(not a command)"
        several = self.words(command.verb) or "lines"
        major = MAJOR if self.near == "client" else MAJOR - _ITS_OWN
        yield Arrow(
            kind="command", label=said, several=several, text=self._reply(command), evidence=(command,),
            at=command.at, channel=command.channel, reply=_code(command), minor=command.verb not in major,
            failed=command.reply is None or command.reply >= 400,
            **self._common(connection, to=self._answerer(connection, command.verb)),
        )  # fmt: skip

    def _reply(self, command: Command) -> str:
        if command.reply is None:
            return "No reply."
        said = f': "{self.words(command.reply_text)}"' if command.reply_text else "."
        return f"Reply {command.reply}{said}"

    def _password(self, connection: Connection, command: Command | None, credential: Credential) -> Iterator[Arrow]:
        secret = credential.password is None or is_secret(credential)
        in_clear, captured = credential.channel == "clear", self.far == "attacker"
        readable = secret and (in_clear or captured)
        if not secret:
            label, fate = "PASS (no secret)", "Not a secret: an anonymous login has no password."
        elif readable:
            whom = "anyone on the path" if in_clear else "the attacker, where TLS ends"
            label, fate = f"PASS ({READABLE})", f"Readable to {whom}."
        elif credential.password in self.stolen:
            label, fate = "PASS (the client's password)", "The attacker logs in with what it was told."
        else:
            label, fate = "PASS (password protected)", "In TLS that ends at the server."
        text = f"PASS {MASK} for user {self.words(credential.user)}. {self._reply(command) if command else ''} {fate}"
        text += " The user was let in." if credential.accepted else " The user was not let in."
        if credential.among_arguments:
            text += " A process had it among its arguments, where every user of the machine sees it."
        common = self._common(connection)
        arrow = Arrow(
            kind="password", label=label, text=text, at=credential.at, channel=credential.channel,
            reply=_code(command), alarm=readable, failed=not credential.accepted,
            evidence=(credential,) if command is None else (command, credential), **common,
        )  # fmt: skip
        yield arrow
        if readable and captured:
            said = f"The attacker holds the password of {self.words(credential.user)}."
            lane: dict[str, Any] = common | {"source": "attacker", "target": "attacker"}
            yield replace(_event(arrow, "captured", "has the password", said), **lane)
        if readable and in_clear and self.exposure is not None and self.exposure.password:
            said = "The password is in the raw bytes, readable to anyone on the path."
            yield replace(_event(arrow, "readable", "anyone on the path can read it", said), witness="the wire")

    def _is_ordinary(self, connection: Connection, handshake: Handshake) -> bool:
        """Whether a data connection's handshake is ordinary: it finished, with the control connection's certificate."""
        shown = handshake.certificate in self._shown_on_control
        return connection.kind == "data" and handshake.completed and shown and not connection.attack_effect

    def _handshake(self, connection: Connection, handshake: Handshake) -> Arrow:
        shown = self._certificate(connection, handshake)
        to = self._answerer(connection, "data" if connection.kind == "data" else "handshake")
        other = connection.kind == "data" and bool(shown) and shown not in self._shown_on_control
        common: dict[str, Any] = {
            "kind": "handshake", "at": handshake.at, "several": "TLS handshake", "evidence": (handshake,),
            "note": f"{shown[:_LETTERS]}… {self.known.get(shown, '')}".strip() if shown else "",
            "text": self._shown(connection, handshake), **self._common(connection, to=to),
        }  # fmt: skip
        if not handshake.completed:
            return Arrow(label="TLS handshake fails", failed=True, **common)
        label = f"{handshake.version.replace('v', ' ')} handshake"
        return Arrow(label=label, channel="tls", alarm=other or to == "attacker", **common)

    def _shown(self, connection: Connection, handshake: Handshake) -> str:
        """How a handshake ended, and which certificate it showed."""
        shown = self._certificate(connection, handshake)
        name = f", {self.known[shown]}" if shown in self.known else ""
        also = ", the same as in the bytes on the wire" if self._on_the_wire(connection, shown) else ""
        certificate = f"Certificate shown: {shown}{name}{also}." if shown else "No certificate was seen."
        where = f"SNI {self.words(handshake.server_name or 'none')}. {certificate}"
        if not handshake.completed:
            return f"The TLS handshake failed: {self.words(handshake.error)}. {where}"
        return f"{handshake.version.replace('v', ' ')}, {handshake.cipher or 'cipher unknown'}, {where}"

    @property
    def _shown_on_control(self) -> set[str]:
        control = {each.number for each in self.told.connections if each.kind == "control"}
        return {each.certificate for each in self.told.handshakes if each.connection in control}

    def _volume_sentence(self, connection: Connection) -> str:
        volume = self._volume(connection).removeprefix("; ") if connection.kind == "data" else ""
        return f" {volume[:1].upper()}{volume[1:]}." if volume else ""

    def _certificate(self, connection: Connection, handshake: Handshake) -> str:
        """The fingerprint of the certificate that the client was shown; for a failed handshake only the wire has it."""
        seen = handshake.completed or self._on_the_wire(connection, handshake.certificate)
        return handshake.certificate if seen else ""

    def _on_the_wire(self, connection: Connection, shown: str) -> bool:
        if self.exposure is None or not shown:
            return False
        whole = zip(self.exposure.connections, self.exposure.leaves, strict=False)
        return any(place == (connection.kind, connection.peer[1]) and leaf == shown for place, leaf in whole)

    def _alert(self, connection: Connection, alert: Alert) -> Arrow:
        text = f"TLS alert, {alert.level}: {alert.description}, {alert.direction} by {NAMES[self.far].lower()}."
        to = self._answerer(connection, "handshake")
        return Arrow(
            kind="alert", label=f"alert: {alert.description}", several="TLS alert", text=text, at=alert.at,
            failed=alert.level == "fatal", evidence=(alert,),
            **self._common(connection, to=to, reverse=alert.direction == "sent"),
        )  # fmt: skip

    def _transfer(self, connection: Connection, transfer: Transfer, quiet: list[Handshake]) -> Arrow:
        name = self.words(transfer.name)
        short = "listing" if transfer.verb in LISTINGS else name.rpartition("/")[2]
        in_clear, captured = transfer.channel == "clear", self.far == "attacker"
        upload = transfer.direction == "upload"
        readable = bool(transfer.size) and not transfer.forged and (in_clear or captured)
        fate = " (forged)" if transfer.forged else " (readable)" if readable else ""
        whom = "anyone on the path" if in_clear else "the attacker, where TLS ends"
        text = f"{transfer.verb} {name}".strip()
        text += f", for control connection {transfer.control}: {plural(transfer.size, 'byte')}"
        text += ", complete." if transfer.completed else ", cut short."
        text += " The attacker made the content up." if transfer.forged else f" Readable to {whom}." if readable else ""
        text += f" {len(transfer.captured)} of these bytes are kept by the attacker." if transfer.captured else ""
        text += f" SHA-256 {transfer.sha256}.{'' if transfer.channel == 'tls' else self._volume_sentence(connection)}"
        text += "".join(f" {self._shown(connection, each)}" for each in quiet)
        return Arrow(
            kind="transfer", label=f"{short}, {plural(transfer.size, 'byte')}{fate}", text=text, at=transfer.at,
            several=f"{transfer.verb} content{fate}", channel=transfer.channel, alarm=readable or transfer.forged,
            failed=not transfer.completed, evidence=(transfer, *quiet),
            **self._common(connection, to=self._answerer(connection, "data"), reverse=not upload),
        )  # fmt: skip

    def _attacked(self, connection: Connection) -> Arrow:
        attack = _attack(self.told)
        effect = connection.attack_effect
        did = attack.did.format(effect=effect) if attack is not None else effect
        common = self._common(connection) | {"source": "attacker", "target": "attacker"}
        text = f"The attacker {did} (attack {attack.name if attack else 'unknown'}, effect {effect})."
        return Arrow(
            kind="attack", label=did, text=text, at=connection.attacked_at, alarm=True, evidence=(connection,), **common
        )

    def _closed(self, connection: Connection) -> Arrow:
        """The end of a connection on which the client sent no password: the result of a refusal."""
        return Arrow(
            kind="closed", label="ends: no password sent", text="It was closed, and no password had been sent on it.",
            at=connection.closed_at, several="connection without a password", evidence=(connection,),
            **self._common(connection),
        )  # fmt: skip


def _code(command: Command | None) -> str:
    return "" if command is None or command.reply is None else str(command.reply)


def _event(arrow: Arrow, kind: Literal["captured", "readable"], label: str, text: str) -> Arrow:
    """An event that follows from an arrow, on the same connection and at the same time."""
    return replace(arrow, kind=kind, label=label, text=text, reply="", failed=False, channel=None)
