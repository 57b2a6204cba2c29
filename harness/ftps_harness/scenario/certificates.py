"""The [certificates.*] tables: whether names and keys fit the file, and whether the lab can issue the certificates.

The lab checks the certificates themselves (`ftps_lab.certificates.check`); this module checks what belongs to the file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from ftps_harness.scenario import patterns
from ftps_harness.scenario.problems import Problem, did_you_mean, shown, toml_key
from ftps_lab.certificates.spec import SELF
from ftps_lab.certificates.spec import check as unissuable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ftps_lab.certificates import CertificateSpec


def check(certificates: Mapping[str, CertificateSpec]) -> Iterator[Problem]:
    """Problems of the certificates: first in the file's names and keys, then what the lab cannot issue."""
    specs = dict(certificates)
    for name, spec in certificates.items():
        key = toml_key("certificates", name)
        if not patterns.CERTIFICATE_NAME.fullmatch(name):
            yield Problem(key, f"{shown(name)} is not a valid certificate name: use letters, digits, - and _")
        if spec.key is not None and spec.same_key_as is not None:
            sentence = "key makes a new key and same_key_as reuses another certificate's; remove one of them"
            yield Problem(f"{key}.key", sentence)
            specs[name] = replace(spec, key=None)  # report the combination only once
    for name, leaf, sentence in unissuable(specs):
        near = _nearest(certificates, name, leaf)
        yield Problem(toml_key("certificates", name, leaf), sentence + near)


def _nearest(certificates: Mapping[str, CertificateSpec], name: str, leaf: str) -> str:
    """A suggestion for a reference to an unknown name."""
    target = getattr(certificates[name], leaf) if leaf in {"issuer", "same_key_as"} else None
    if target is None or target == SELF or target in certificates:
        return ""
    return f".{near}" if (near := did_you_mean(target, [*certificates, SELF])) else ""
