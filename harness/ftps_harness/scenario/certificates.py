"""The [certificates.*] tables as the lab's own data, and whether it can issue them.

The rules are the lab's (`ftps_lab.certificates.check`); here stands what belongs to the file: names and keys.
The lab is imported on use: who imports the format alone (a pytest plugin that stays idle) does not wait for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ftps_harness.scenario import patterns
from ftps_harness.scenario.problems import Problem, did_you_mean, joined, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ftps_harness.scenario.model import Scenario
    from ftps_harness.scenario.tables import CertificateTable
    from ftps_lab.certificates import CertificateSpec


def specs(scenario: Scenario) -> dict[str, CertificateSpec]:
    """The scenario's certificates as the lab's own data, by name; what was not given keeps the lab's default."""
    return _specs(scenario.certificates)


def check(certificates: Mapping[str, CertificateTable]) -> Iterator[Problem]:
    """What is wrong with the certificates: first with the file's names and keys, then what the lab cannot issue."""
    from ftps_lab.certificates import check as unissuable  # see above

    for name, table in certificates.items():
        key = joined("certificates", name)
        if not patterns.CERTIFICATE_NAME.fullmatch(name):
            yield Problem(key, f"{shown(name)} is no name for a certificate: use letters, digits, - and _")
        if table.key is not None and table.same_key_as is not None:
            sentence = "a certificate has a new key (key) or another one's (same_key_as), not both; remove one"
            yield Problem(f"{key}.key", sentence)
    for name, leaf, sentence in unissuable(_specs(certificates)):
        near = _nearest(certificates, name, leaf)
        yield Problem(joined("certificates", name, leaf), sentence + near)


def _specs(certificates: Mapping[str, CertificateTable]) -> dict[str, CertificateSpec]:
    from ftps_lab.certificates import CertificateSpec  # see above

    return {name: CertificateSpec(**_given(table)) for name, table in certificates.items()}


def _given(table: CertificateTable) -> dict[str, Any]:
    given = {name: value for name in table.__struct_fields__ if (value := getattr(table, name)) is not None}
    if "same_key_as" in given:
        given.pop("key", None)  # one problem of having both is enough
    return given


def _nearest(certificates: Mapping[str, CertificateTable], name: str, leaf: str) -> str:
    """A suggestion where a reference leads nowhere."""
    target = getattr(certificates[name], leaf) if leaf in {"issuer", "same_key_as"} else None
    if target is None or target == "self" or target in certificates:
        return ""
    return f".{near}" if (near := did_you_mean(target, [*certificates, "self"])) else ""
