"""A certificate's content as frozen data, and the rules by which such data can be issued.

Pure, and light: no TLS library, so that reading scenarios does not load one. The scenario format uses this same type:
a key is declared here, with its default, its description for the JSON Schema and its rule, and nowhere else.
"""

# No `from __future__ import annotations`: msgspec reads these annotations, and evaluating them once here is
# cheaper than resolving strings when the first file is read.

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Literal, Self, get_args

from msgspec import Meta, Struct
from msgspec.structs import replace

SELF: Final = "self"
"""The `issuer` of a self-signed certificate."""

Key = Literal["ec-p256", "ec-p384", "ec-p521", "ed25519", "rsa-1024", "rsa-2048", "rsa-4096"]
Signature = Literal["sha256", "sha384", "sha1", "md5"]
Usage = Literal["server", "client", "any", "absent"]
KeyUsage = Literal[
    "digitalSignature",
    "nonRepudiation",
    "keyEncipherment",
    "dataEncipherment",
    "keyAgreement",
    "keyCertSign",
    "cRLSign",
    "encipherOnly",
    "decipherOnly",
]
"""Spelled and ordered as in RFC 5280 section 4.2.1.3."""

KEYS: Final[tuple[Key, ...]] = get_args(Key)
"""Allowed values of `key`."""

SIGNATURES: Final[tuple[Signature, ...]] = get_args(Signature)
"""Allowed values of `signature`: the hash that the issuer signs."""

USAGES: Final[tuple[Usage, ...]] = get_args(Usage)
"""Allowed values of `usage` (extended key usage, RFC 5280 section 4.2.1.12)."""

KEY_USAGES: Final[tuple[KeyUsage, ...]] = get_args(KeyUsage)
"""Allowed words of `key_usage`."""

_DEFAULT_KEY: Final = "ec-p256"
_DEFAULT_SIGNATURE: Final = "sha256"

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_RELATIVE: Final = "[+-][0-9]{1,12}[smhd]"
_RFC3339: Final = r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})"

Moment = Annotated[str, Meta(extra_json_schema={"pattern": f"^({_RELATIVE}|{_RFC3339})$"})]
"""A time for `moment`. Programs may also give a datetime with a time zone, as TOML has them."""


class CertificateSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One certificate. Left out, everything is as `openssl req -x509` writes it; issued ones are ordinary leaves."""

    issuer: Annotated[str, Meta(description='"self" (default), or the name of another certificate of this file')] = SELF
    common_name: Annotated[
        str, Meta(description="The subject's common name; an empty string leaves the subject empty")
    ] = "localhost"
    names: Annotated[
        tuple[str, ...],
        Meta(description="Subject alternative names: DNS names and IP addresses; [] leaves the extension out"),
    ] = ("localhost",)
    not_before: Annotated[
        Moment, Meta(description="Valid from: relative to now (-1d; s, m, h, d), or an RFC 3339 time")
    ] = "-1d"
    not_after: Annotated[
        Moment, Meta(description="Valid until: relative to now (+365d; s, m, h, d), or an RFC 3339 time")
    ] = "+365d"
    key: Annotated[
        Key | None, Meta(description='The kind of key; default "ec-p256". Not together with same_key_as')
    ] = None
    same_key_as: Annotated[str | None, Meta(description="Instead of key: the certificate whose key is used again")] = (
        None
    )
    signature: Annotated[Signature, Meta(description="The hash that the issuer signs")] = "sha256"
    ca: Annotated[
        bool | Literal["absent"] | None,
        Meta(
            description='basicConstraints CA; "absent" leaves the extension out. '
            "Default: true when self-signed, false when issued"
        ),
    ] = None
    path_length: Annotated[
        int | None,
        Meta(
            description="basicConstraints pathLenConstraint, only with ca = true; absent by default",
            extra_json_schema={"minimum": 0},
        ),
    ] = None
    key_usage: Annotated[
        Literal["absent"] | tuple[KeyUsage, ...] | None,
        Meta(
            description='keyUsage; "absent" leaves the extension out. '
            'Default: "absent" when self-signed, ["digitalSignature"] when issued'
        ),
    ] = None
    usage: Annotated[
        Usage | None,
        Meta(
            description='Extended key usage; "absent" leaves it out. '
            'Default: "absent" when self-signed, "server" when issued'
        ),
    ] = None
    key_ids: Annotated[bool, Meta(description="Subject and authority key identifiers are present")] = True

    @property
    def kind_of_key(self) -> str:
        """The kind of its own key; meaningless with `same_key_as`."""
        return self.key or _DEFAULT_KEY

    def resolved(self) -> Self:
        """The same spec with every None of `ca`, `key_usage` and `usage` replaced by its issuer's default."""
        default = _SELF_SIGNED if self.issuer == SELF else _ISSUED
        return replace(
            self,
            ca=default.ca if self.ca is None else self.ca,
            key_usage=default.key_usage if self.key_usage is None else self.key_usage,
            usage=default.usage if self.usage is None else self.usage,
        )


# Defaults of `openssl req -x509` (measured on 3.0.22; a test compares with the installed openssl).
_SELF_SIGNED: Final = CertificateSpec(ca=True, key_usage="absent", usage="absent")
_ISSUED: Final = CertificateSpec(ca=False, key_usage=("digitalSignature",), usage="server")


def moment(text: str | datetime, now: datetime) -> datetime:
    """The moment that a scenario gives, in UTC and whole seconds (X.509 has no smaller unit).

    Args:
        text: Relative to now, sign, number and one of s, m, h, d (``"-1d"``); or a time of RFC 3339 section 5.6
            (``"2026-01-31T12:00:00Z"``); or a datetime with a time zone, as TOML has them.
        now: With a time zone.

    Raises:
        ValueError: It is none of these; the message says what is allowed.
    """
    try:
        if isinstance(text, datetime):
            if text.tzinfo is None:
                raise ValueError(f"{text} has no time zone: end it with Z or an offset such as +02:00")
            return text.astimezone(UTC).replace(microsecond=0)
        if re.fullmatch(_RELATIVE, text):
            distance = timedelta(seconds=int(text[:-1]) * _SECONDS[text[-1]])
            return now.astimezone(UTC).replace(microsecond=0) + distance
        if re.fullmatch(_RFC3339, text):
            return _of_the_calendar(text)
    except OverflowError as error:
        raise ValueError(f"{str(text)!r} is outside the years 1 to 9999") from error
    raise ValueError(
        f"{text!r} is not a valid time: write one relative to now, such as -1d or +365d (sign, number, one of s m h "
        f"d), or an RFC 3339 time, such as 2026-01-31T12:00:00Z"
    )


def _of_the_calendar(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC).replace(microsecond=0)
    except ValueError as error:
        raise ValueError(f"{text!r} is not a valid date and time: {error}") from error


def check(specs: Mapping[str, CertificateSpec], now: datetime | None = None) -> list[tuple[str, str, str]]:
    """Every reason why these certificates cannot be issued together.

    Bad practice alone is not a reason: bad chains are what the lab is for.

    Args:
        specs: Certificates by name.
        now: The base for relative dates, with a time zone; None is the present.

    Returns:
        For each problem the certificate's name, the key, and a sentence with the fix.
    """
    at = datetime.now(UTC) if now is None else now
    return [
        (name, key, sentence)
        for name, spec in specs.items()
        for rule in _RULES
        for key, sentence in rule(_Case(specs, name, spec, at))
    ]


class _Case(Struct, frozen=True):
    """One certificate among the others, the input of a rule."""

    specs: Mapping[str, CertificateSpec]
    name: str
    spec: CertificateSpec
    now: datetime

    def others(self) -> str:
        """The names that a reference could use, for a sentence."""
        return ", ".join(other for other in self.specs if other != self.name) or "(there is no other)"


def _known_words(case: _Case) -> Iterator[tuple[str, str]]:
    """Each word must be an allowed value."""
    spec = case.spec
    for key, word, allowed in (
        ("key", spec.key, KEYS),
        ("signature", spec.signature, SIGNATURES),
        ("usage", spec.usage, USAGES),
    ):
        if word is not None and word not in allowed:
            yield key, f"unknown value {word!r}: use one of {', '.join(allowed)}"


def _key_usage(case: _Case) -> Iterator[tuple[str, str]]:
    """The words exist, at least one is given, and encipherOnly and decipherOnly qualify another (RFC 5280, 4.2.1.3)."""
    words = case.spec.key_usage
    if words is None or words == "absent":
        return
    if not words:
        yield "key_usage", 'the list must not be empty: name a usage, or write "absent" to leave the extension out'
    for word in words:
        if word not in KEY_USAGES:
            yield "key_usage", f"unknown value {word!r}: choose from {', '.join(KEY_USAGES)}"
    if {"encipherOnly", "decipherOnly"} & set(words) and "keyAgreement" not in words:
        yield "key_usage", "encipherOnly and decipherOnly only qualify keyAgreement: add keyAgreement"


def _issuer(case: _Case) -> Iterator[tuple[str, str]]:
    """The issuer exists, and the chain ends at a self-signed certificate."""
    if case.name == SELF:
        yield "issuer", 'a certificate cannot be called "self", which means self-signed: rename it'
    issuer = case.spec.issuer
    if issuer == SELF:
        return
    if issuer not in case.specs:
        yield "issuer", f'unknown certificate {issuer!r}: write "self", or one of {case.others()}'
    elif _returns(case, lambda spec: spec.issuer):
        yield "issuer", 'the chain of issuers is a loop: give one of them the issuer "self"'


def _same_key_as(case: _Case) -> Iterator[tuple[str, str]]:
    """The other certificate exists and has its own key, of the kind that `key` names, if it does."""
    other = case.spec.same_key_as
    if other is None:
        return
    if other not in case.specs:
        yield "same_key_as", f"unknown certificate {other!r}: name one of {case.others()}"
        return
    if _returns(case, lambda spec: spec.same_key_as):
        yield "same_key_as", "the references form a loop: give one of the certificates its own key"
        return
    kind = _kind_of_key(case.specs, other)
    if case.spec.key not in {None, kind} and kind is not None:
        yield (
            "key",
            f"the key of {other!r} is {kind}, not {case.spec.key}: leave out `key`, because `same_key_as` decides it",
        )


def _signature(case: _Case) -> Iterator[tuple[str, str]]:
    """The issuer's kind of key can sign this hash: the pair has an algorithm identifier."""
    issuer = case.name if case.spec.issuer == SELF else case.spec.issuer
    kind = _kind_of_key(case.specs, issuer)
    if kind is None:
        return
    if kind == "ed25519" and case.spec.signature != _DEFAULT_SIGNATURE:
        yield "signature", f"an ed25519 key signs without a separate hash (RFC 8410): leave out {case.spec.signature!r}"
    if kind.startswith("ec-") and case.spec.signature == "md5":
        yield "signature", "ECDSA is not defined with MD5 (RFC 5758): give the issuer an RSA key"


def _dates(case: _Case) -> Iterator[tuple[str, str]]:
    """Both dates can be parsed and encoded (RFC 5280, 4.1.2.5: UTCTime begins in 1950), and are in order."""
    moments = []
    for key, text in (("not_before", case.spec.not_before), ("not_after", case.spec.not_after)):
        try:
            at = moment(text, case.now)
        except ValueError as error:
            yield key, str(error)
            continue
        if at.year < 1950:
            yield key, f"{at:%Y-%m-%d} cannot be encoded in a certificate: use 1950 or later"
        moments.append(at)
    if len(moments) == 2 and moments[1] < moments[0]:
        yield "not_after", f"{moments[1]} is before not_before, {moments[0]}: change one of them"


def _path_length(case: _Case) -> Iterator[tuple[str, str]]:
    """A limit of zero or more, on an authority (RFC 5280, 4.2.1.9)."""
    limit = case.spec.path_length
    if limit is None:
        return
    if limit < 0:
        yield "path_length", f"must be 0 or more, not {limit}; omit it for no limit"
    if case.spec.resolved().ca is not True:
        yield "path_length", "only an authority can have it: add ca = true, or leave path_length out"


# A label of RFC 1034 section 3.5, with the underscores that container networks use; the first may contain wildcards
# (RFC 6125 section 6.4.3), well placed or not.
_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.IGNORECASE)
_FIRST_LABEL: Final = re.compile(r"[a-z0-9_*]([a-z0-9_*-]{0,61}[a-z0-9_*])?", re.IGNORECASE)


def _names(case: _Case) -> Iterator[tuple[str, str]]:
    """Every name is a DNS name or an IP address, and the common name fits (RFC 5280, appendix A: 64)."""
    size = len(case.spec.common_name.encode("utf-8", "replace"))
    if size > 64:
        yield "common_name", f"{size} bytes are too many: use at most 64"
    for name in case.spec.names:
        if not name.isascii():
            yield "names", f"{name!r} is not ASCII: write its encoded form, with labels that begin with xn--"
        elif not (is_ip_address(name) or _is_dns_name(name)):
            yield "names", f"{name!r} is neither a DNS name such as ftp.example.test nor an IP address"


def is_ip_address(name: str) -> bool:
    """Whether a name of the SAN is an IP address (an iPAddress there; anything else is a dNSName)."""
    from ipaddress import ip_address  # imported here: listing scenarios does not need it

    try:
        return "%" not in str(ip_address(name))  # a zone (fe80::1%eth0) is not part of the address
    except ValueError:
        return False


def _is_dns_name(name: str) -> bool:
    first, *rest = name.split(".")
    labels_fit = _FIRST_LABEL.fullmatch(first) and all(_LABEL.fullmatch(label) for label in rest)
    # 1.2.3.400 is a mistyped address: no top-level domain is a number (RFC 3696 section 2).
    return bool(labels_fit) and len(name) <= 253 and not (rest or [first])[-1].isdigit()


_RULES: Final[tuple[Callable[[_Case], Iterator[tuple[str, str]]], ...]] = (
    _issuer,
    _names,
    _dates,
    _known_words,
    _same_key_as,
    _signature,
    _path_length,
    _key_usage,
)


def _returns(case: _Case, step: Callable[[CertificateSpec], str | None]) -> bool:
    """Whether following a reference from certificate to certificate leads back to the start."""
    seen: set[str] = set()
    at = step(case.spec)
    while at is not None and at in case.specs and at not in seen:
        if at == case.name:
            return True
        seen.add(at)
        at = step(case.specs[at])
    return False


def key_owner(specs: Mapping[str, CertificateSpec], name: str) -> str | None:
    """The certificate whose `key` this one uses, at the end of `same_key_as`; None if the references do not end."""
    at: str | None = name
    for _ in range(len(specs) + 1):
        if at is None or at not in specs:
            return None
        if specs[at].same_key_as is None:
            return at
        at = specs[at].same_key_as
    return None


def _kind_of_key(specs: Mapping[str, CertificateSpec], name: str) -> str | None:
    owner = key_owner(specs, name)
    return None if owner is None else specs[owner].kind_of_key
