"""Issue certificates from specs given in any order; issuers come first. Keys exist only in memory."""

from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ftps_lab.certificates.certificate import Certificate
from ftps_lab.certificates.signing import DECLINED, sign_as_declined
from ftps_lab.certificates.spec import SELF, check, is_ip_address, key_owner, moment
from ftps_lab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from ftps_lab.certificates.certificate import PrivateKey
    from ftps_lab.certificates.spec import CertificateSpec

_EXPONENT: Final = 65537

NEW_KEY: Final[dict[str, Callable[[], PrivateKey]]] = {
    "ec-p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ec-p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ec-p521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "rsa-1024": lambda: rsa.generate_private_key(_EXPONENT, 1024),  # noqa: S505 - weak on purpose
    "rsa-2048": lambda: rsa.generate_private_key(_EXPONENT, 2048),
    "rsa-4096": lambda: rsa.generate_private_key(_EXPONENT, 4096),
}
"""Functions that generate a key, by its name in a spec."""

SIGNATURE_HASH: Final[dict[str, hashes.SHA256 | hashes.SHA384]] = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
}
"""The hashes with which the library's builder signs, by their names in a spec; the others are `signing.DECLINED`."""

USAGE: Final = {
    "server": ExtendedKeyUsageOID.SERVER_AUTH,
    "client": ExtendedKeyUsageOID.CLIENT_AUTH,
    "any": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
}

# The library's keyword for each word of RFC 5280; it calls nonRepudiation by the newer X.509 name.
_KEY_USAGE_KEYWORD: Final = {
    "digitalSignature": "digital_signature",
    "nonRepudiation": "content_commitment",
    "keyEncipherment": "key_encipherment",
    "dataEncipherment": "data_encipherment",
    "keyAgreement": "key_agreement",
    "keyCertSign": "key_cert_sign",
    "cRLSign": "crl_sign",
    "encipherOnly": "encipher_only",
    "decipherOnly": "decipher_only",
}


def issue(
    specs: Mapping[str, CertificateSpec],
    now: datetime | None = None,
    given: Mapping[str, Certificate] | None = None,
) -> dict[str, Certificate]:
    """Issue certificates, each with a new key unless it has `same_key_as`.

    Args:
        specs: Certificates by name, in any order.
        now: The base for relative dates, with a time zone; None is the present.
        given: Certificates already issued from specs of the same names: they do not change, and others may name them.

    Returns:
        The certificates by name, in the order of `specs`.

    Raises:
        LabError: `check` finds a problem, or this TLS library cannot do what a spec requests; names the certificate
            and the key.
    """
    at = datetime.now(UTC) if now is None else now
    if problems := check(specs, at):
        raise LabError("; ".join(_problem(*problem) for problem in problems))
    issued: dict[str, Certificate] = dict(given or {})
    keys = _keys(specs, issued)
    for name in _issuers_first(specs):
        if name in issued:
            continue
        spec = specs[name].resolved()
        issuer = None if spec.issuer == SELF else issued[spec.issuer]
        issued[name] = Certificate(name, _sign(name, spec, keys[name], issuer, at), keys[name], issuer)
    return {name: issued[name] for name in specs}


def _problem(name: str, key: str, sentence: object) -> str:
    return f"certificate {name!r}, key {key!r}: {sentence}"


def _keys(specs: Mapping[str, CertificateSpec], issued: Mapping[str, Certificate]) -> dict[str, PrivateKey]:
    """Every certificate's key, made before signing, so that a certificate can share a key with one that it issues."""
    own: dict[str, PrivateKey] = {name: certificate.key for name, certificate in issued.items()}
    for name, spec in specs.items():
        if spec.same_key_as is None and name not in own:
            try:
                own[name] = NEW_KEY[spec.kind_of_key]()
            except (ValueError, UnsupportedAlgorithm) as error:
                sentence = f"the TLS library here cannot generate a key of kind {spec.kind_of_key}: {error}"
                raise LabError(_problem(name, "key", sentence)) from error
    return {name: own[key_owner(specs, name) or name] for name in specs}


def _issuers_first(specs: Mapping[str, CertificateSpec]) -> Iterator[str]:
    done = {SELF}
    for name in specs:
        way_up = []
        at = name
        while at not in done:
            way_up.append(at)
            done.add(at)
            at = specs[at].issuer
        yield from reversed(way_up)


def _sign(
    name: str, spec: CertificateSpec, key: PrivateKey, issuer: Certificate | None, now: datetime
) -> x509.Certificate:
    builder = draft(spec, key, issuer, now)
    signer = key if issuer is None else issuer.key
    try:
        if spec.signature in DECLINED:
            return sign_as_declined(builder.sign(signer, hashes.SHA256()), spec.signature, signer)
        no_choice = isinstance(signer, ed25519.Ed25519PrivateKey)
        return builder.sign(signer, None if no_choice else SIGNATURE_HASH[spec.signature])
    except (UnsupportedAlgorithm, ValueError) as error:
        raise LabError(
            _problem(name, "signature", f"the TLS library here cannot sign with {spec.signature}: {error}")
        ) from error


def draft(spec: CertificateSpec, key: PrivateKey, issuer: Certificate | None, now: datetime) -> x509.CertificateBuilder:
    """A resolved spec's content, ready to be signed."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, spec.common_name)] if spec.common_name else [])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.x509.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment(spec.not_before, now))
        .not_valid_after(moment(spec.not_after, now))
    )
    for extension, critical in _extensions(spec, key, issuer):
        builder = builder.add_extension(extension, critical)
    return builder


def _extensions(
    spec: CertificateSpec, key: PrivateKey, issuer: Certificate | None
) -> Iterator[tuple[x509.ExtensionType, bool]]:
    """The extensions of a resolved spec, in the order of `openssl req`, and whether each is critical."""
    if spec.key_ids:
        own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        yield own, False
        yield _authority_key_identifier(own if issuer is None else issuer), False
    if spec.ca is not None and spec.ca != "absent":
        yield x509.BasicConstraints(ca=spec.ca, path_length=spec.path_length), True
    if spec.names:
        # RFC 5280 section 4.2.1.6: critical if the subject is empty.
        yield x509.SubjectAlternativeName([_general_name(name) for name in spec.names]), not spec.common_name
    if spec.key_usage is not None and spec.key_usage != "absent":
        yield _key_usage(spec.key_usage), True
    if spec.usage is not None and spec.usage != "absent":
        yield x509.ExtendedKeyUsage([USAGE[spec.usage]]), False


def _authority_key_identifier(
    issuer: x509.SubjectKeyIdentifier | Certificate,
) -> x509.AuthorityKeyIdentifier:
    """The issuer's identifier (RFC 5280 section 4.2.1.1); if the issuer has none, it is computed from its key."""
    if isinstance(issuer, x509.SubjectKeyIdentifier):
        return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer)
    try:
        stated = issuer.x509.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except x509.ExtensionNotFound:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(stated.value)


def _general_name(name: str) -> x509.GeneralName:
    return x509.IPAddress(ip_address(name)) if is_ip_address(name) else x509.DNSName(name)


def _key_usage(words: tuple[str, ...]) -> x509.KeyUsage:
    return x509.KeyUsage(**{keyword: word in words for word, keyword in _KEY_USAGE_KEYWORD.items()})
