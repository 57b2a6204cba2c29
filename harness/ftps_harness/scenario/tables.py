"""The tables of a scenario file, version 1, key by key as written; None stands for "not given".

The descriptions go into the JSON Schema; docs/reference.md, "The scenario file", is for users. `model` has the file's
content with defaults, changes and references resolved.
"""

# No `from __future__ import annotations`: msgspec reads these annotations, and evaluating them once here is
# cheaper than resolving strings when the first file is read.

from typing import Annotated, Any, Literal, get_args

from msgspec import Meta, Struct

from ftps_harness.scenario import patterns
from ftps_harness.words import Dialect, Folder
from ftps_lab.attackers import AttackHow, AttackKey, AttackName, attack_keys
from ftps_lab.certificates.spec import CertificateSpec

Verdict = Literal[
    "accepted",
    "rejected",
    "exposed",
    "login-failed",
    "failed",
    "unreachable",
    "hung",
    "crashed",
    "inconclusive",
]
"""The possible results of a run (docs/reference.md, "Verdicts")."""

ExpectedVerdict = Literal[
    "accepted",
    "rejected",
    "exposed",
    "login-failed",
    "failed",
    "unreachable",
    "hung",
    "crashed",
]
"""The verdicts that a scenario may expect: all but ``inconclusive``."""

Reason = Literal[
    "untrusted",
    "hostname",
    "expired",
    "not-yet-valid",
    "revoked",
    "weak",
    "purpose",
    "tls-required",
    "tls-handshake",
]
"""Why lftp refused (docs/reference.md, "Reasons")."""

DIALECTS: tuple[Dialect, ...] = get_args(Dialect)

Secret = Literal["password", "payload"]
Receiver = Literal["wire", "impostor"]
Control = Literal["impostor-refused", "impostor-accepted", "none"]
HowOften = Literal["always", "sometimes"]
Protocol = Literal["explicit", "implicit", "plain"]
Role = Literal["genuine", "impostor"]
Scheme = Literal["ftp", "ftps"]
Attack = AttackName
"""The attacker between client and server: an attack's name (`ftps_lab.attackers.records`)."""

TLSVersion = Literal["1.0", "1.1", "1.2", "1.3"]
SourceKind = Literal["cert", "key", "chain", "der", "crlf", "served", "text"]

_SOME = {"minItems": 1}


def _for_attacks(key: AttackKey, text: str) -> str:
    return f"{', '.join(attack_keys(key))}: {text}"


class ServerTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The server, or its changes before a step (such as a certificate rotation)."""

    protocol: Annotated[Protocol | None, Meta(description='"explicit" (AUTH TLS, default), "implicit", or "plain"')] = (
        None
    )
    certificate: Annotated[
        str | None, Meta(description="The name of the certificate that it shows; required unless plain")
    ] = None
    chain: Annotated[
        tuple[str, ...] | None, Meta(description="Certificates sent after the leaf, in this order; default []")
    ] = None
    data_certificate: Annotated[
        str | None, Meta(description="What data connections show; default: the same as certificate")
    ] = None
    role: Annotated[
        Role | None, Meta(description='Whose server the client reached: "genuine" (default) or "impostor"')
    ] = None
    attack: Annotated[
        Attack | None,
        Meta(description='What an on-path attacker does; default "none". Not allowed with role = "impostor"'),
    ] = None
    attack_certificate: Annotated[
        str | None,
        Meta(
            description=_for_attacks(
                "attack_certificate", "what the attacker shows; default: a copy of certificate in all but the key"
            )
        ),
    ] = None
    attack_reply: Annotated[
        int | None,
        Meta(
            description=_for_attacks("attack_reply", "the code that the attacker answers with; default 502"),
            extra_json_schema={"minimum": 400, "maximum": 599},
        ),
    ] = None
    attack_how: Annotated[
        AttackHow | None,
        Meta(
            description=_for_attacks(
                "attack_how", 'what answers the ClientHello; "alert" (default: a fatal one), "close" or "text"'
            )
        ),
    ] = None
    require_tls: Annotated[
        bool | None,
        Meta(description="Refuse USER before TLS, and data connections in clear; not allowed with plain"),
    ] = None
    tls: Annotated[
        tuple[TLSVersion, ...] | None,
        Meta(description='TLS versions offered; default ["1.2", "1.3"]', extra_json_schema=_SOME),
    ] = None
    user: Annotated[
        str | None,
        Meta(
            description="The only user that it accepts besides anonymous; default: any",
            extra_json_schema={"minLength": 1},
        ),
    ] = None
    password: Annotated[
        str | None,
        Meta(
            description="The right password; default: the step's, or a secret one if the step has none or expects "
            "login-failed",
            extra_json_schema={"minLength": 1},
        ),
    ] = None
    revoked: Annotated[
        tuple[str, ...] | None,
        Meta(
            description="Certificates on a revocation list; must be empty in this version",
            extra_json_schema={"maxItems": 0},
        ),
    ] = None


class ExpectTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The expected result of a step, or what differs for one dialect or version of lftp."""

    verdict: Annotated[
        ExpectedVerdict | None,
        Meta(description="The verdict of the run. In an override it replaces the whole table"),
    ] = None
    reason: Annotated[
        Reason | tuple[Reason, ...] | None,
        Meta(description="For rejected: a reason or a list; the outcome's reasons must equal it"),
    ] = None
    message: Annotated[
        str | None, Meta(description="Text that lftp must print", extra_json_schema={"minLength": 1})
    ] = None
    exposed: Annotated[
        tuple[Secret, ...] | None,
        Meta(description="For exposed: what leaked; not compared if omitted", extra_json_schema=_SOME),
    ] = None
    to: Annotated[
        tuple[Receiver, ...] | None,
        Meta(description="For exposed: who could read it; not compared if omitted", extra_json_schema=_SOME),
    ] = None
    tls: Annotated[
        TLSVersion | tuple[TLSVersion, ...] | None,
        Meta(description="The TLS versions of all finished handshakes, control and data; not compared if omitted"),
    ] = None
    cipher: Annotated[
        str | tuple[str, ...] | None,
        Meta(description="The cipher suites of all finished handshakes, by OpenSSL's names; not compared if omitted"),
    ] = None
    server_name: Annotated[
        str | tuple[str, ...] | None,
        Meta(description='The SNI names of all finished handshakes, "" for none sent; not compared if omitted'),
    ] = None
    how_often: Annotated[
        HowOften | None,
        Meta(description='"always" (default), or "sometimes" with repeat: seen at least once'),
    ] = None
    otherwise: Annotated[
        tuple[ExpectedVerdict, ...] | None,
        Meta(description='With "sometimes": the verdicts that the other runs may have', extra_json_schema=_SOME),
    ] = None


class StepTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One run of lftp. HOME persists from step to step: files adds to it, rc replaces it."""

    title: Annotated[str, Meta(description="What this step shows, in one line; unique in the file")]
    server: Annotated[
        ServerTable | None, Meta(description="Changes to the server before this step; they stay in force")
    ] = None
    host: Annotated[str, Meta(description="The host that the user types; any name leads to the lab")] = "localhost"
    scheme: Annotated[
        Scheme | None,
        Meta(description="The scheme of the URL that the user types; default: ftps for an implicit server, else ftp"),
    ] = None
    user: Annotated[
        str | None,
        Meta(description="Default: server.user, or a secret user made for the run", extra_json_schema={"minLength": 1}),
    ] = None
    password: Annotated[
        str | None,
        Meta(
            description="Default: server.password, or a secret password made for the run",
            extra_json_schema={"minLength": 1},
        ),
    ] = None
    files: Annotated[
        dict[str, str],
        Meta(
            description='Files to put into ~/.lftp ("cwd/NAME": into the folder in which lftp starts). A value is '
            "cert:NAME, key:NAME, chain:NAME, der:NAME, crlf:NAME or served, or several joined by ' + '; text:… runs "
            "to the end and comes last",
            extra_json_schema={"propertyNames": {"pattern": patterns.FILE_NAME.pattern}},
        ),
    ] = {}
    cwd: Annotated[Folder, Meta(description="Where lftp starts: in ~/.lftp, in HOME, or elsewhere")] = "home"
    rc: Annotated[
        str | None,
        Meta(
            description="The rc file. Placeholders here, in text: and in commands: {lftp} {host} {port} {user} "
            "{password} {sha1:NAME} {sha256:NAME}; {{word}} writes {word}, other braces are not changed"
        ),
    ] = None
    rc_file: Annotated[
        str | None,
        Meta(
            description="Instead of rc: an existing rc, used unchanged, without placeholders; relative to this file",
            extra_json_schema={"minLength": 1},
        ),
    ] = None
    run: Annotated[
        tuple[str, ...],
        Meta(
            description='"list", "get", "put", "mirror", or a literal lftp command; something must connect',
            extra_json_schema=_SOME,
        ),
    ] = ("list", "get")
    clock: Annotated[
        str | None,
        Meta(
            description="lftp runs at another time, such as +366d or -2d",
            extra_json_schema={"pattern": patterns.RELATIVE.pattern},
        ),
    ] = None
    locale: Annotated[
        str | None,
        Meta(
            description="The locale that lftp runs in, such as C or de_DE.ISO-8859-1; default: a UTF-8 locale",
            extra_json_schema={"pattern": patterns.LOCALE.pattern},
        ),
    ] = None
    repeat: Annotated[
        int,
        Meta(
            description="How many times it runs, for a result that varies",
            extra_json_schema={"minimum": 1, "maximum": 1000},
        ),
    ] = 1
    at_least: Annotated[
        int | None,
        Meta(
            description='With how_often = "sometimes": it runs this often, and then on, at most `repeat` times, only '
            "until the expected result has occurred; default: always `repeat` times",
            extra_json_schema={"minimum": 1, "maximum": 999},
        ),
    ] = None
    control: Annotated[
        Control | None,
        Meta(
            description="The control run, which proves that trust caused the verdict; default: derived from the verdict"
        ),
    ] = None
    why_no_control: Annotated[str | None, Meta(description='Required with control = "none"')] = None
    # A table with keys besides those of ExpectTable: `expectations` parses it.
    expect: Annotated[dict[str, Any], Meta(description="The expected result of the step")]


class ScenarioTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One promise about certificate trust, with the servers, rc lines and runs of lftp that test it."""

    schema: Annotated[Literal[1], Meta(description="The version of this format")]
    title: Annotated[str, Meta(description="The promise, in one line")]
    why: Annotated[str, Meta(description="For a learner: what is at stake and what to look at")]
    tags: Annotated[
        tuple[str, ...], Meta(description="Words of your choice; `document` marks a promise of the document")
    ] = ()
    claim: Annotated[
        str | None,
        Meta(
            description="The id of the document's promise (docs/claims.md)",
            extra_json_schema={"pattern": patterns.CLAIM.pattern},
        ),
    ] = None
    certificates: Annotated[
        dict[str, CertificateSpec],
        Meta(
            description="Any number of named certificates",
            extra_json_schema={"propertyNames": {"pattern": patterns.CERTIFICATE_NAME.pattern}},
        ),
    ] = {}
    server: Annotated[ServerTable, Meta(description="The server as the first step meets it")]
    step: Annotated[
        tuple[StepTable, ...],
        Meta(description="The runs of lftp, in order", extra_json_schema=_SOME),
    ]
