"""Types for the keywords of `ftps_server(…)` and `ftps_server.certificate(…)`: the keys of a scenario file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypedDict

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import trustme

    from ftps_harness.scenario.tables import (
        Attack,
        Protocol,
        Role,
        TLSVersion,
    )
    from ftps_lab.attackers import AttackHow
    from ftps_lab.certificates import Certificate
    from ftps_lab.certificates.spec import Key, KeyUsage, Signature, Usage


class CertificateKeys(TypedDict, total=False):
    """The keys of ``[certificates.*]``; `issuer` and `same_key_as` take certificates instead of names."""

    issuer: Certificate | Literal["self"]
    common_name: str
    names: Sequence[str]
    not_before: str | datetime
    not_after: str | datetime
    key: Key
    same_key_as: Certificate | None
    signature: Signature
    ca: bool | Literal["absent"] | None
    path_length: int | None
    key_usage: Sequence[KeyUsage] | Literal["absent"] | None
    usage: Usage | None
    key_ids: bool


class ServerKeys(TypedDict, total=False):
    """The keys of ``[server]``, with certificates instead of names."""

    protocol: Protocol
    certificate: Certificate | trustme.LeafCert | CertificateKeys | None
    chain: Sequence[Certificate]
    data_certificate: Certificate | trustme.LeafCert | CertificateKeys | None
    role: Role
    require_tls: bool
    tls: Sequence[TLSVersion]
    user: str | None
    password: str | None
    attack: Attack
    attack_certificate: Certificate | trustme.LeafCert | CertificateKeys | None
    attack_reply: int
    attack_how: AttackHow
