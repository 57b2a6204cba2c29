"""Attackers from the fixtures, with the real lftp: what they capture, and what lftp notices."""

from __future__ import annotations

import re
import secrets as randomness
from typing import TYPE_CHECKING, Any, get_args

import pytest
import trustme
from tests.harness.verdict.outcomes import EVERYTHING, NO_VERIFICATION, leaked, pinned

from ftps_harness.errors import UsageError
from ftps_harness.scenario import ScenarioError, parse
from ftps_lab.attackers import ATTACKS, AttackHow
from ftps_lab.attackers.downgrade import FORGED

if TYPE_CHECKING:
    from pathlib import Path

    from ftps_harness.testing import Attack, LftpRunner, Protocol, ServerFactory

lftp_runs = pytest.mark.lftp


# An interceptor and an lftp that does not verify.


@lftp_runs
@pytest.mark.parametrize("protocol", ["explicit", "implicit"])
def test_interceptor_captures_everything_unnoticed(
    ftps_server: ServerFactory, lftp: LftpRunner, protocol: Protocol
) -> None:
    """Every byte is transferred, with exit code 0 and no message."""
    server = ftps_server(protocol=protocol, attack="intercept")
    outcome = lftp(server, rc=NO_VERIFICATION, run=EVERYTHING)
    assert leaked(outcome) == ("exposed", {"password", "payload"}, {"impostor"})
    assert outcome.attempt.outcome.contradictions == ()
    assert (outcome.attempt.run.exit_code, outcome.attempt.run.stderr) == (0, b"")
    assert [(task.name, task.done) for task in outcome.attempt.client.tasks] == [(name, True) for name in EVERYTHING]
    mine = server.secrets
    assert (lftp.home.downloads / mine.file_name).read_bytes() == mine.content
    assert (server.root / mine.upload_name).read_bytes() == mine.upload_content
    assert [(c.user, c.password) for c in outcome.testimony.credentials] == [(mine.user, mine.password)]
    held = {(t.verb, t.name.rpartition("/")[2]): t.captured for t in outcome.testimony.transfers}
    assert mine.file_name.encode() in held["LIST", ""]
    assert held["STOR", mine.upload_name] == mine.upload_content
    assert {name: held["RETR", name] for name in mine.tree} == dict(mine.tree)
    assert held["RETR", mine.file_name] == mine.content


@lftp_runs
def test_interceptor_is_transparent(ftps_server: ServerFactory, lftp: LftpRunner) -> None:
    """lftp's output is the same to the byte."""
    server = ftps_server()
    run = ["list", "nlist", "cls -l", f"cat {server.secrets.file_name}", "pwd"]
    alone = lftp(server, rc=NO_VERIFICATION, run=run)
    server.rotate(attack="intercept")
    intercepted = lftp(server, rc=NO_VERIFICATION, run=run)
    assert (alone.verdict, intercepted.verdict) == ("accepted", "exposed")
    for stream in ("exit_code", "stderr"):
        assert getattr(alone.attempt.run, stream) == getattr(intercepted.attempt.run, stream)
    outputs = [re.sub(rb"done-[0-9a-f]+", b"", each.attempt.run.stdout) for each in (alone, intercepted)]
    assert outputs[0] == outputs[1]
    assert server.secrets.content in outputs[0]


# The fixtures.


@lftp_runs
def test_attack_can_be_switched_on_and_off(ftps_server: ServerFactory, lftp: LftpRunner) -> None:
    """The server keeps its certificate and its pin, and the attacker presents the same copy each time."""
    server = ftps_server()
    rc = pinned(server)
    genuine, shown = server.certificate, []
    for _ in range(2):
        assert lftp(server, rc=rc).verdict == "accepted"
        server.rotate(attack="intercept")
        assert lftp(server, rc=rc).reasons == {"untrusted"}
        shown.append(server.spec.attack_certificate)
        server.rotate(attack="none")
    assert server.certificate is genuine
    assert shown[0] is shown[1]
    assert shown[0] is not genuine


@lftp_runs
@pytest.mark.parametrize("given", ["made", "table", "trustme"])
def test_interceptor_presents_the_given_certificate(
    ftps_server: ServerFactory, lftp: LftpRunner, tmp_path: Path, given: str
) -> None:
    """A client that pinned it trusts the attacker; the genuine pin refuses and names that certificate."""
    leaf = trustme.CA().issue_cert("localhost")
    own: Any = {"made": ftps_server.certificate(key="rsa-2048"), "table": {"key": "rsa-2048"}, "trustme": leaf}[given]
    server = ftps_server(attack="intercept", attack_certificate=own)
    presented = server.spec.attack_certificate
    assert presented is not None
    refused = lftp(server, rc=pinned(server))
    assert (refused.verdict, refused.testimony.passwords) == ("rejected", [])
    assert server.certificate is not None
    for fingerprint, verdict in ((presented.sha1, "exposed"), (server.certificate.sha1, "rejected")):
        rc = f"set ssl:verify-certificate/{fingerprint} no\n"
        assert lftp(server, rc=rc).verdict == verdict
    assert presented.sha1 in refused.message or lftp.client.dialect == "openssl"


@lftp_runs
def test_given_attack_certificate_survives_rotation(ftps_server: ServerFactory, lftp: LftpRunner) -> None:
    """A copy of the server's certificate follows the rotation; a given one stays."""
    own = ftps_server.certificate()
    server = ftps_server(attack="intercept", attack_certificate=own)
    server.rotate()
    assert server.spec.attack_certificate is own
    server.rotate(attack_certificate=None)
    copy = server.spec.attack_certificate
    assert copy is not own
    server.rotate()
    assert server.spec.attack_certificate is not copy
    assert lftp(server, rc=f'set ssl:ca-file "{server.new_pin}"').reasons == {"untrusted"}


HASTE = "set net:max-retries 1; set net:reconnect-interval-base 0"
EXPOSED_IN_CLEAR = ("exposed", {"password", "payload"}, {"wire"})
BY_ATTACK: dict[str, tuple[tuple[str, set[str], set[str]], str]] = {
    "intercept": (("rejected", set(), set()), "rejected"),
    "strip-auth": (("exposed", {"password", "payload"}, {"wire", "impostor"}), "rejected"),
    "refuse-auth": (EXPOSED_IN_CLEAR, "rejected"),
    "drop-at-auth": (("failed", set(), set()), "failed"),
    "inject-before-tls": (("accepted", set(), set()), "accepted"),
    "refuse-prot": (("exposed", {"payload"}, {"wire"}), "exposed"),
}


@lftp_runs
@pytest.mark.parametrize("attack", BY_ATTACK)
def test_each_attack_has_its_verdict_with_pin_and_with_force(
    ftps_server: ServerFactory, lftp: LftpRunner, attack: Attack
) -> None:
    """The client has a pin and demands TLS. (The scenarios cover the races.)"""
    server = ftps_server(attack=attack)
    with_pin, with_force = BY_ATTACK[attack]
    assert leaked(lftp(server, rc=pinned(server), run=[HASTE, "list"])) == with_pin
    forced = lftp(server, rc=pinned(server, "set ftp:ssl-force yes\n"), run=[HASTE, "list"])
    assert forced.verdict == with_force


@lftp_runs
def test_rotate_changes_attack_reply_and_attack_how(ftps_server: ServerFactory, lftp: LftpRunner) -> None:
    server = ftps_server(attack="refuse-auth", attack_reply=431)
    rc = pinned(server, "set ftp:ssl-force yes\n")
    for reply in (431, 534):
        server.rotate(attack_reply=reply)
        outcome = lftp(server, rc=rc, run=["list"])
        assert outcome.reasons == {"tls-required"}
        assert [c.reply for c in outcome.testimony.commands if c.verb == "AUTH"] == [reply]
    for how in get_args(AttackHow):
        server.rotate(attack="break-handshake", attack_how=how)
        assert lftp(server, rc=rc, run=[HASTE, "list"]).reasons == {"tls-handshake"}


@pytest.mark.parametrize(
    ("keywords", "part"),
    [
        ({"attack": "intercept", "data_certificate": {"names": ["x"]}}, "data_certificate=….*hides it from lftp"),
        ({"attack": "intercpt"}, 'attack=….* Did you mean "intercept"'),
        ({"attack": "strip-auth", "protocol": "implicit"}, "implicit FTPS does not use"),
        ({"attack": "intercept", "protocol": "plain"}, "a plain server has none"),
        ({"attack": "clear-data", "role": "impostor"}, "needs the genuine server behind it"),
        ({"attack": "refuse-auth", "require_tls": True}, "a server that refuses AUTH cannot require TLS"),
        ({"attack": "refuse-auth", "attack_reply": 234}, "from 400 to 599"),
        ({"attack": "refuse-auth", "attack_reply": "502"}, "must be a whole number"),
        ({"attack": "break-handshake", "attack_how": "rst"}, 'Allowed: "close", "alert", "text"'),
        ({"attack_how": "close"}, 'only valid with the attack "break-handshake", but the attack here is "none"'),
        ({"attack": "refuse-prot", "attack_certificate": {}}, 'only valid with the attack "intercept"'),
        ({"attack": "intercept", "attack_certificate": "mine"}, "not 'mine'"),
        ({"attack": "intercept", "certificate": None}, "name one"),
        ({"tls": ["1.4"]}, 'Allowed: "1.0"'),
        ({"protocol": "sftp"}, 'Allowed: "explicit"'),
    ],
)
def test_meaningless_keyword_is_a_usage_error_that_names_it(
    ftps_server: ServerFactory, keywords: dict[str, Any], part: str
) -> None:
    """As in a scenario file."""
    with pytest.raises(UsageError, match=part):
        ftps_server(**keywords)


def test_invalid_rotation_changes_nothing(ftps_server: ServerFactory) -> None:
    server = ftps_server(protocol="implicit")
    before = server.spec
    with pytest.raises(UsageError, match="implicit FTPS does not use"):
        server.rotate(attack="refuse-auth")
    assert server.spec == before


# The data channel.


@lftp_runs
def test_refused_upload_is_stored_by_the_impostor_but_for_its_end(
    ftps_server: ServerFactory, lftp: LftpRunner, tmp_path: Path
) -> None:
    """Each attempt sends a piece: lftp refuses the certificate, asks how much arrived, and resumes after that.

    The end that was in lftp's buffer (64 KiB) at the last resumption never arrives, but lftp believes that it did.
    """
    server = ftps_server()
    server.rotate(certificate=server.certificate, data_certificate={})
    content = randomness.token_bytes(192 << 10)
    (tmp_path / "large").write_bytes(content)
    haste = "set net:timeout 1; set net:max-retries 1000; set net:reconnect-interval-base 0"
    outcome = lftp(server, rc=pinned(server), run=[haste, f"put {tmp_path}/large -o up"])
    assert leaked(outcome) == ("exposed", {"payload"}, {"impostor"})
    assert outcome.reasons == {"untrusted"}
    assert (outcome.attempt.run.exit_code, outcome.attempt.run.stderr) == (0, b"")
    arrived = (server.root / "up").read_bytes()
    assert content.startswith(arrived)
    assert 0 < len(content) - len(arrived) <= 80 << 10
    sizes = {transfer.size for transfer in outcome.testimony.transfers if transfer.size}
    assert sizes == {64 << 10 if lftp.client.dialect == "openssl" else 16 << 10}


@lftp_runs
def test_forged_listing_is_accepted_by_lftp_without_ssl_protect_list(
    ftps_server: ServerFactory, lftp: LftpRunner
) -> None:
    """It does not count as an answer: it holds no secret."""
    server = ftps_server(attack="clear-data")
    for run in (["list"], ["cls -l"], ["ls > listing"]):
        outcome = lftp(server, rc=pinned(server, "set ftp:ssl-protect-list no\n"), run=run)
        assert (leaked(outcome), outcome.attempt.outcome.contradictions) == (("failed", set(), set()), ())
        assert outcome.testimony.transfers[0].forged
    assert (lftp.home.home / "listing").read_bytes() == FORGED.replace(b"\r\n", b"\n")


@lftp_runs
@pytest.mark.parametrize("length", [598, 600])
def test_file_that_starts_like_a_client_hello_counts_as_exposed(
    ftps_server: ServerFactory, lftp: LftpRunner, length: int
) -> None:
    """It is longer or shorter than the TLS record that its header announces."""
    content = b"\x16\x03\x01\x02\x52\x01".ljust(length, b"x")
    assert int.from_bytes(content[3:5]) + 5 != length
    run = ["put ~/.lftp/hello"]
    outcome = lftp(ftps_server(attack="refuse-prot"), rc=NO_VERIFICATION, run=run, files={"hello": content})
    assert leaked(outcome) == ("exposed", {"payload"}, {"wire"})


# Certificates that cannot be fetched.

SERVED = """
schema = 1
title = "t"
why = "w"
[certificates.genuine]
[server]
certificate = "genuine"
attack = "{attack}"
[[step]]
title = "one"
files = {{ x = "served" }}
[step.expect]
verdict = "failed"
"""


@pytest.mark.parametrize("attack", ["none", *ATTACKS])
def test_served_needs_an_attack_that_presents_the_certificate(attack: str) -> None:
    """A pin fetched past any other attack is an error in the file, not in the run."""
    text = SERVED.format(attack=attack)
    if attack in {"strip-auth", "refuse-auth", "drop-at-auth", "break-handshake"}:
        with pytest.raises(
            ScenarioError, match=rf'step\[1\].files.x: served: under the attack "{attack}" .*; use cert:'
        ):
            parse(text, "f", "a/f")
    else:
        assert parse(text, "f", "a/f").steps[0].server.attack == attack
