"""The record of each attack agrees with its class, and reading the records loads no TLS library."""

from __future__ import annotations

import contextlib
import ftplib
import ssl
import subprocess
import sys
from string import Formatter
from typing import TYPE_CHECKING, Literal, get_args

import pytest
from tests.lab.sessions import EVERY_ATTACK, peer_der

from ftps_lab.attackers import ATTACKS, AttackHow, AttackKey, AttackName
from ftps_lab.server.handlers import CONTROLS, ImplicitControl

if TYPE_CHECKING:
    from tests.lab.conftest import Lab

    from ftps_lab.attackers import Attack

each = pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
attacks_and_protocols = pytest.mark.parametrize(
    ("name", "protocol"), [(name, protocol) for name, protocol in EVERY_ATTACK if name != "none"]
)


def placeholders_in(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def test_attack_name_literal_lists_every_record() -> None:
    assert get_args(AttackName) == ("none", *ATTACKS)


@attacks_and_protocols
def test_record_names_a_handler_of_its_attack_and_protocol(
    name: str, protocol: Literal["explicit", "implicit"]
) -> None:
    handler = ATTACKS[name].handler(protocol)
    assert handler.lab_attack == name
    assert issubclass(handler, CONTROLS["explicit"])
    assert issubclass(handler, ImplicitControl) is (protocol == "implicit")


@each
def test_words_have_a_placeholder_for_each_key(attack: Attack) -> None:
    assert placeholders_in(attack.words) == set(attack.keys)
    assert set(attack.ways) == (set(get_args(AttackHow)) if "attack_how" in attack.keys else set())


@each
def test_effect_has_one_placeholder_the_name_or_a_key(attack: Attack) -> None:
    assert len(placeholders_in(attack.effect) & {"name", *attack.keys}) == len(placeholders_in(attack.effect)) == 1
    effects = {attack.effect.format(name=attack.name, attack_reply=502, attack_how=how) for how in get_args(AttackHow)}
    assert set(attack.behind_auth) <= effects


@each
def test_did_has_no_placeholder_other_than_effect(attack: Attack) -> None:
    assert placeholders_in(attack.did) <= {"effect"}
    assert bool(attack.acts_on) is not (attack.relays or attack.name == "inject-before-tls")


def test_every_attack_key_is_used() -> None:
    assert {key for attack in ATTACKS.values() for key in attack.keys} == set(get_args(AttackKey))


@attacks_and_protocols
def test_control_tls_names_the_certificate_that_clients_get(lab: Lab, name: str, protocol: str) -> None:
    """The server's, the attacker's, or none."""
    client = lab.client(lab.serve(protocol, attack=name), trust=None)
    if protocol == "explicit":
        with contextlib.suppress(OSError, EOFError, ftplib.Error):
            client.auth()
    found = "nobody"
    if isinstance(client.sock, ssl.SSLSocket):
        genuine = ssl.PEM_cert_to_DER_cert(lab.certificates["genuine"].pem.decode())
        found = "server" if peer_der(client.sock) == genuine else "attacker"
    assert found == ATTACKS[name].control_tls


def test_records_load_no_tls_library() -> None:
    """`ftps-lab list` reads these records and must stay fast."""
    code = "import sys, ftps_lab.attackers, ftps_lab.interface; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"OpenSSL", "cryptography", "pyftpdlib", "ssl"} & set(done.stdout.split())
