"""The certificates that tools under test encounter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ftps_lab.certificates import CertificateSpec, issue, twins

if TYPE_CHECKING:
    from ftps_lab.certificates import Certificate
    from ftps_lab.certificates.spec import Key

HOST: Final = "backup.example"
"""The server to pin."""
OTHER: Final = "mirror.example"
"""Another server."""
SIMILAR: Final = ("backup-example", "my.backup.example", "backup.example.net")
"""Names that match `HOST` in a search that treats the dot as any character, or that looks for part of a line."""

KINDS: Final[tuple[Key, ...]] = ("ec-p256", "rsa-2048", "ed25519")
"""Kinds of keys: a tool may compare something that only one kind has (an RSA modulus)."""


def own(host: str = HOST, key: Key = "ec-p256", **fields: object) -> Certificate:
    """A server's self-signed certificate, as `openssl req -x509` makes it.

    Args:
        host: The name in it.
        key: The kind of key.
        fields: Further fields of `CertificateSpec`.
    """
    values = {"common_name": host, "names": (host,), "key": key, **fields}
    return issue({"own": CertificateSpec(**values)})["own"]  # type: ignore[arg-type]  # fields of the record by name


def twin(certificate: Certificate) -> Certificate:
    """The same certificate in every field except the key and the signature."""
    return twins({"twin": certificate})["twin"]


def renewed(certificate: Certificate, host: str = HOST) -> Certificate:
    """A new certificate for the same name with the same key."""
    spec = CertificateSpec(common_name=host, names=(host,), same_key_as="own")
    return issue({"own": CertificateSpec(common_name=host, names=(host,)), "new": spec}, given={"own": certificate})[
        "new"
    ]


def authority(name: str = "An authority") -> Certificate:
    """An authority that signs other certificates."""
    return issue({"authority": CertificateSpec(common_name=name, names=(), ca=True)})["authority"]


def issued(by: Certificate, host: str = HOST) -> Certificate:
    """A leaf for a host, signed by an authority."""
    leaf = CertificateSpec(issuer="by", common_name=host, names=(host,))
    return issue({"by": CertificateSpec(names=(), ca=True), "leaf": leaf}, given={"by": by})["leaf"]
