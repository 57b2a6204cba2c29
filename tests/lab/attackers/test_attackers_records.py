"""The record of each attack says what its attacker does, and reading records alone loads no TLS library."""

from __future__ import annotations

import contextlib
import ftplib
import ssl
import subprocess
import sys
from string import Formatter
from typing import TYPE_CHECKING, Literal, get_args

import pytest
from tests.lab.sessions import EVERY_ATTACK, shown

from ftps_lab.attackers import ATTACKS, AttackHow, AttackKey, AttackName
from ftps_lab.server.handlers import CONTROLS, ImplicitControl

if TYPE_CHECKING:
    from tests.lab.conftest import Lab

    from ftps_lab.attackers import Attack

each = pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
attacks_and_protocols = pytest.mark.parametrize(
    ("name", "protocol"), [(name, protocol) for name, protocol in EVERY_ATTACK if name != "none"]
)


def names_in(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def test_the_names_for_type_checkers_are_those_of_the_records() -> None:
    assert get_args(AttackName) == ("none", *ATTACKS)


@attacks_and_protocols
def test_a_record_leads_to_the_classes_that_act(name: str, protocol: Literal["explicit", "implicit"]) -> None:
    """The classes carry its name and speak the protocol."""
    handler = ATTACKS[name].handler(protocol)
    assert handler.lab_attack == name
    assert issubclass(handler, CONTROLS["explicit"])
    assert issubclass(handler, ImplicitControl) is (protocol == "implicit")


@each
def test_each_key_of_an_attack_is_in_its_words_and_no_other(attack: Attack) -> None:
    assert names_in(attack.words) == set(attack.keys)
    assert set(attack.ways) == (set(get_args(AttackHow)) if "attack_how" in attack.keys else set())


@each
def test_the_effect_depends_on_the_name_or_on_a_key(attack: Attack) -> None:
    assert len(names_in(attack.effect) & {"name", *attack.keys}) == len(names_in(attack.effect)) == 1
    effects = {attack.effect.format(name=attack.name, attack_reply=502, attack_how=how) for how in get_args(AttackHow)}
    assert set(attack.behind_auth) <= effects


@each
def test_what_an_attacker_did_names_nothing_but_its_effect(attack: Attack) -> None:
    assert names_in(attack.did) <= {"effect"}
    assert bool(attack.acts_on) is not (attack.relays or attack.name == "inject-before-tls")


def test_every_key_belongs_to_an_attack() -> None:
    assert {key for attack in ATTACKS.values() for key in attack.keys} == set(get_args(AttackKey))


@attacks_and_protocols
def test_who_ends_the_tls_of_the_control_connection(lab: Lab, name: str, protocol: str) -> None:
    """A client that does not verify sees the server's certificate, another one, or none."""
    client = lab.client(lab.serve(protocol, attack=name), trust=None)
    if protocol == "explicit":
        with contextlib.suppress(OSError, EOFError, ftplib.Error):
            client.auth()
    found = "nobody"
    if isinstance(client.sock, ssl.SSLSocket):
        genuine = ssl.PEM_cert_to_DER_cert(lab.certificates["genuine"].pem.decode())
        found = "server" if shown(client.sock) == genuine else "attacker"
    assert found == ATTACKS[name].control_tls


def test_records_load_no_tls_library() -> None:
    """`ftps-lab list` reads these records."""
    code = "import sys, ftps_lab.attackers, ftps_lab.interface; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"OpenSSL", "cryptography", "pyftpdlib", "ssl"} & set(done.stdout.split())
