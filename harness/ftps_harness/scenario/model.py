"""What a scenario file says, complete: defaults, changes and references of its `tables` worked out."""

# No `from __future__ import annotations`: see `tables`.

from msgspec import Struct

from ftps_harness.scenario.tables import (
    Attack,
    Control,
    ExpectedVerdict,
    ExpectTable,
    HowOften,
    Protocol,
    Reason,
    Receiver,
    Role,
    Scheme,
    Secret,
    SourceKind,
    TLSVersion,
)
from ftps_harness.words import Folder
from ftps_lab.attackers import ATTACKS, AttackHow
from ftps_lab.attackers import Attack as AttackRecord
from ftps_lab.certificates.spec import CertificateSpec


class Source(Struct, frozen=True):
    """One part of a file's content.

    Attributes:
        kind: ``cert`` and ``key`` give a certificate's PEM, ``chain`` the leaf and what is sent after it, ``der``
            the certificate as DER, ``crlf`` its PEM with line ends of Windows, ``served``
            what the running server shows (fetched as the document does), ``text`` itself.
        value: The certificate's name, or the text; empty for ``served``.
    """

    kind: SourceKind
    value: str = ""


class Server(Struct, frozen=True, kw_only=True):
    """The complete server in force at a step; None certificates only where it is plain."""

    protocol: Protocol = "explicit"
    certificate: str | None = None
    chain: tuple[str, ...] = ()
    data_certificate: str | None = None
    role: Role = "genuine"
    attack: Attack = "none"
    attack_certificate: str | None = None
    attack_reply: int = 502
    attack_how: AttackHow = "alert"
    require_tls: bool = False
    tls: tuple[TLSVersion, ...] = ("1.2", "1.3")
    user: str | None = None
    password: str | None = None
    revoked: tuple[str, ...] = ()

    @property
    def attacker(self) -> AttackRecord | None:
        """The record of the attack; None for ``none``."""
        return ATTACKS.get(self.attack)

    @property
    def shows_certificate(self) -> bool:
        """A client's handshake with it gets as far as a certificate."""
        return self.protocol != "plain" and (self.attacker is None or self.attacker.shows_certificate)


class Expect(Struct, frozen=True, kw_only=True):
    """The expected result of a step; None for reasons, message, exposed, to, tls, cipher, server_name: not compared."""

    verdict: ExpectedVerdict
    reasons: frozenset[Reason] | None = None
    message: str | None = None
    exposed: frozenset[Secret] | None = None
    to: frozenset[Receiver] | None = None
    tls: frozenset[TLSVersion] | None = None
    cipher: frozenset[str] | None = None
    server_name: frozenset[str] | None = None
    how_often: HowOften = "always"
    otherwise: tuple[ExpectedVerdict, ...] = ()


class Step(Struct, frozen=True, kw_only=True):
    """One run of lftp, complete.

    Attributes:
        server: The complete server in force, after every change up to this step.
        changed: This step changes the server: it differs from the step before (for the first: from [server]).
        rc: What replaces the rc file; None keeps the previous step's.
        rc_file: Where `rc` was read from, as written; None where the scenario holds it.
        repeat: How many times it runs at most.
        at_least: How many times it runs even if a result that occurs only sometimes has been seen; None: `repeat`.
        expect: The expected result where no override applies; see `expectation`.
        overrides: By dialect or version prefix, as written; each agrees with `expect` (checked).
    """

    title: str
    server: Server
    changed: bool
    host: str
    scheme: Scheme | None
    user: str | None
    password: str | None
    files: dict[str, tuple[Source, ...]]
    cwd: Folder
    rc: str | None
    rc_file: str | None
    run: tuple[str, ...]
    clock: str | None
    locale: str | None
    repeat: int
    at_least: int | None
    control: Control | None
    why_no_control: str | None
    expect: Expect
    overrides: dict[str, ExpectTable]


class Scenario(Struct, frozen=True, kw_only=True):
    """One scenario file, complete, with every reference resolved.

    Attributes:
        id: ``<area>/<case>``.
        file: The file's name as given.
    """

    id: str
    file: str
    title: str
    why: str
    tags: tuple[str, ...]
    claim: str | None
    certificates: dict[str, CertificateSpec]
    server: Server
    steps: tuple[Step, ...]


class Outline(Struct, frozen=True, kw_only=True):
    """What a catalogue shows of a scenario file; of its steps, only the titles."""

    id: str
    file: str
    title: str
    tags: tuple[str, ...]
    claim: str | None
    steps: tuple[str, ...]
