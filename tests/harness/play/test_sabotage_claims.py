"""Servers that lie about themselves are exposed by the wire, lftp's log and the server's disk. Real lftp, real lies."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from tests.harness.play.sabotage import (
    ACCEPTED,
    EXPOSED,
    ONLY_LIST,
    PlaceWith,
    alter,
    change_records,
    contradictions,
    falsified,
)

from ftps_harness.play.actions.stored import not_kept
from ftps_harness.play.material import impostor_of
from ftps_lab.server.handlers import Doorman
from ftps_lab.servers import FtpsServer
from ftps_lab.testimony import Command, Testimony, Transfer

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.conftest import Play

    from ftps_lab.interface import ServerSpec

pytestmark = [pytest.mark.lftp, pytest.mark.usefixtures("nothing_left")]

TRUSTING = "set ssl:verify-certificate no\nset ftp:ssl-protect-data yes\n"
ANOTHER_CERTIFICATE = "the server's testimony names one certificate, but the wire has another one"


class Stranger(FtpsServer):
    """Shows its own certificates, but testifies to the declared ones."""

    def __init__(self, spec: ServerSpec, **keywords: Any) -> None:
        super().__init__(self._own(spec), **keywords)

    def change(self, spec: ServerSpec) -> None:
        super().change(self._own(spec))

    def _own(self, spec: ServerSpec) -> ServerSpec:
        self.spec = own = replace(impostor_of(spec), role=spec.role)
        assert spec.certificate is not None
        assert own.certificate is not None
        self._genuine = {own.certificate.sha256: spec.certificate.sha256}
        return own

    def testimony(self) -> Testimony:
        testimony = super().testimony()
        named = self._genuine
        return replace(
            testimony,
            handshakes=tuple(replace(h, certificate=named[h.certificate]) for h in testimony.handshakes),
            transfers=tuple(replace(t, certificate=named.get(t.certificate, "")) for t in testimony.transfers),
        )


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_stranger_that_claims_to_be_genuine_is_noticed(play: Play, version: str) -> None:
    """Without verification lftp accepts it, but lftp's log names the stranger and the wire holds its certificate."""
    step = play.step(ACCEPTED, rc=TRUSTING)
    server = f'tls = ["{version}"]'
    assert play(step, server=server, controls=False).status == "pass"
    result = play(step, server=server, place=PlaceWith(Stranger), controls=False)
    assert result.status == "error"
    assert (
        f"control from port {result.steps[0].shown.wire.records[0].peer[1]}: {ANOTHER_CERTIFICATE}"
        in contradictions(result)
    )
    if result.steps[0].shown.client.named:  # OpenSSL builds log no certificate
        assert "lftp's debug log names a certificate that this server does not show" in contradictions(result)


def test_debug_log_alone_exposes_a_stranger(play: Play) -> None:
    """Here the tap lies along with the server."""
    place = falsified("wire", change_records(lambda r: replace(r, to_client=b"", to_server=b"", secret=b"")), Stranger)
    result = play(play.step(ACCEPTED, rc=TRUSTING, keys=ONLY_LIST), place=place, controls=False)
    assert result.status == "error"
    if result.steps[0].shown.client.named:
        assert "lftp's debug log names a certificate" in contradictions(result)


def test_tap_without_the_tls_1_3_secret_proves_nothing(play: Play) -> None:
    place = falsified("wire", change_records(lambda r: replace(r, secret=b"")))
    result = play(play.step(ACCEPTED), server='tls = ["1.3"]', place=place, controls=False)
    assert result.status == "error"
    assert "the wire does not reveal which certificate the server showed" in contradictions(result)
    assert play(play.step(ACCEPTED), server='tls = ["1.2"]', place=place, controls=False).status == "pass"


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_exposure_to_an_undeclared_impostor_is_an_error(play: Play, version: str) -> None:
    """The server that answered was not the declared impostor."""
    step = play.step(EXPOSED, rc=TRUSTING)
    server = f'role = "impostor"\ntls = ["{version}"]'
    assert play(step, server=server, controls=False).status == "pass"
    result = play(step, server=server, place=PlaceWith(Stranger), controls=False)
    assert result.status == "error"
    assert ANOTHER_CERTIFICATE in contradictions(result)


def test_stranger_only_on_data_connections_is_noticed(play: Play) -> None:
    """With TLS 1.3, only the tap's secret reveals it."""

    class OnData(FtpsServer):
        def __init__(self, spec: ServerSpec, **keywords: Any) -> None:
            self._declared = spec
            super().__init__(replace(spec, data_certificate=impostor_of(spec).certificate), **keywords)

        def testimony(self) -> Testimony:
            assert self._declared.certificate is not None
            genuine = self._declared.certificate.sha256
            testimony = alter("handshakes", certificate=genuine)(super().testimony())
            return alter("transfers", certificate=genuine)(testimony)

        def change(self, spec: ServerSpec) -> None:
            super().change(replace(spec, data_certificate=impostor_of(spec).certificate))

    result = play(play.step(ACCEPTED, rc=TRUSTING, keys=ONLY_LIST), place=PlaceWith(OnData), controls=False)
    assert result.status == "error"
    assert f"data from port {result.steps[0].shown.wire.records[1].peer[1]}: {ANOTHER_CERTIFICATE}" in contradictions(
        result
    )


def test_server_that_accepts_any_password_is_noticed(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rc holds a wrong password, and a step that expects success would pass."""
    rc = play.pin + 'alias wrong "open -u somebody,no-such-password -p {port} localhost"\n'
    step = play.step(ACCEPTED, rc=rc, keys='run = ["wrong", "ls"]')
    honest = play(step, controls=False)
    assert honest.status in {"fail", "error"}
    monkeypatch.setattr(Doorman, "validate_authentication", lambda *_: None)
    result = play(step, controls=False)
    assert result.status == "error"
    assert "the server accepted a login with a wrong password" in contradictions(result)


def test_server_that_accepts_any_user_is_noticed(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Doorman, "validate_authentication", lambda *_: None)
    server = 'user = "backup"\npassword = "right-password"'
    step = play.step(ACCEPTED, keys='user = "somebody"')
    result = play(step, server=server, controls=False)
    assert result.status == "error"
    assert "the server accepted a login of a user that it does not have" in contradictions(result)


class Truncating(FtpsServer):
    """Accepts every upload but stores it without its end."""

    def settle(self, timeout: float = 5.0) -> bool:
        done = super().settle(timeout)
        from pathlib import Path

        for transfer in self.recorder.transfers:
            if transfer.verb == "STOR":
                path = Path(self._root) / transfer.name
                path.write_bytes(path.read_bytes()[:-20])
        return done


@pytest.mark.parametrize("item", ["put", "put ~/.lftp/mycert.crt", "mirror -R --no-perms ~/.lftp there"])
def test_truncated_upload_on_disk_is_noticed(play: Play, item: str) -> None:
    """Also of the user's own files and by literal commands."""
    step = play.step(ACCEPTED, keys=f"run = ['{item}']")
    assert play(step, controls=False).status == "pass"
    result = play(step, place=PlaceWith(Truncating), controls=False)
    assert result.status == "error"
    assert "bytes of" in contradictions(result)
    assert "different bytes" in contradictions(result)


def upload_transfer(name: str, content: bytes, **more: Any) -> Transfer:
    from ftps_harness.play.actions.evidence import sha256

    known: dict[str, Any] = {"completed": True, "certificate": "", "channel": "tls", "verb": "STOR", **more}
    return Transfer(2, 1, name=name, direction="upload", size=len(content), sha256=sha256(content), **known)


def test_not_kept_reports_only_files_that_should_be_there(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/x").write_bytes(b"second")
    first, second, gone = (
        upload_transfer("folder/x", b"first"),
        upload_transfer("folder/x", b"second"),
        upload_transfer("y", b"y"),
    )
    assert not_kept(Testimony("genuine", transfers=(first, second)), tmp_path) == ()
    assert len(not_kept(Testimony("genuine", transfers=(second, first)), tmp_path)) == 1
    assert not_kept(Testimony("genuine", transfers=(gone,)), tmp_path) == (
        "the server reports that it stored y, but it has no such file",
    )
    for other in (replace(gone, completed=False), replace(gone, forged=True), replace(gone, sha256="")):
        assert not_kept(Testimony("genuine", transfers=(other,)), tmp_path) == ()
    for verb, argument in (("DELE", "/y"), ("RNFR", "y"), ("APPE", "y"), ("REST", "100")):
        testimony = Testimony("genuine", transfers=(gone,), commands=(Command(1, verb, argument, "tls", 250),))
        assert not_kept(testimony, tmp_path) == ()
    testimony = Testimony("genuine", transfers=(gone,), commands=(Command(1, "DELE", "z", "tls", 250),))
    assert len(not_kept(testimony, tmp_path)) == 1
    attacked = Testimony("impostor", behind=Testimony("genuine", transfers=(gone,)))
    assert len(not_kept(attacked, tmp_path)) == 1
