"""`ftps-lab pin` against real servers, with real lftp: what it writes, refuses and removes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from tests.harness.pinning.tool.conftest import own

from ftps_harness.pinning.certificates import twin
from ftps_harness.pinning.tool.asking import Asked, Asker
from ftps_harness.pinning.tool.writing import Replacement
from ftps_lab.certificates import CertificateSpec, issue

if TYPE_CHECKING:
    from tests.harness.pinning.tool.conftest import User

    from ftps_lab.certificates import Certificate

pytestmark = pytest.mark.lftp

MINE = "# mine\nset net:timeout 20\n"


def renewed(old: Certificate) -> Certificate:
    spec = CertificateSpec(common_name="localhost", names=("localhost",), same_key_as="old")
    plain = CertificateSpec(common_name="localhost", names=("localhost",))
    return issue({"old": plain, "new": spec}, given={"old": old})["new"]


def test_lftp_logs_in_once_pinned_and_remove_restores_the_rc(user: User) -> None:
    shown = user.serve()
    user.write(MINE)
    assert not user.logs_in()
    said = user.pin()
    assert said.code == 0
    assert shown.sha256 in said.out
    assert "ALL hosts" in said.out
    assert user.logs_in()
    assert user.logs_in("LOCALHOST")
    user.serve(twin(shown))
    assert not user.logs_in()
    assert user.pin("--remove").code == 0
    assert (user.rc.read_text(), user.pins.exists()) == (MINE, False)


def test_removing_the_last_pin_removes_the_files(user: User) -> None:
    assert user.pin().code == 0
    assert user.rc.stat().st_mode & 0o777 == 0o600
    assert user.rc.parent.stat().st_mode & 0o777 == 0o700
    assert user.pin("--remove").code == 0
    assert list(user.rc.parent.iterdir()) == []


def test_certificate_for_another_name_can_be_pinned_by_fingerprint_only(user: User) -> None:
    shown = user.serve(own(common_name="x", names=("other.example",)))
    before = user.state()
    said = user.pin()
    assert (said.code, user.state()) == (1, before)
    assert "not for localhost but for other.example" in said.err
    said = user.pin("--by", "fingerprint")
    assert said.code == 0
    assert "not bound to a host" in said.out
    assert f"verify-certificate/{shown.sha1} no" in user.rc.read_text()
    assert not user.pins.exists()
    assert user.logs_in()
    user.serve(twin(shown))
    assert not user.logs_in()


def test_changed_certificate_needs_replace_and_a_renewal_is_named(user: User) -> None:
    old = user.serve()
    assert user.pin().code == 0
    before = user.state()
    new = user.serve(twin(old))
    said = user.pin()
    assert (said.code, user.state()) == (1, before)
    assert old.sha256 in said.err
    assert new.sha256 in said.err
    assert "same key" not in said.err
    assert user.pin("--replace", "--expect", old.sha256).code == 1
    assert user.state() == before
    said = user.pin("--replace", "--expect", new.sha256.replace(":", "").lower())
    assert (said.code, user.logs_in()) == (0, True)
    user.serve(renewed(new))
    said = user.pin()
    assert said.code == 1
    assert "renewal" in said.err


def test_changing_the_pin_method_needs_replace(user: User) -> None:
    user.serve()
    assert user.pin("--by", "fingerprint").code == 0
    before = user.state()
    assert (user.pin().code, user.state()) == (1, before)
    assert user.pin("--replace").code == 0
    assert "verify-certificate" not in user.rc.read_text()
    assert user.logs_in()


@pytest.mark.parametrize("usage", ["keyCertSign", "keyEncipherment"])
def test_certificate_without_digital_signature_is_not_pinned_for_gnutls(user: User, usage: str) -> None:
    shown = user.serve(own(key="rsa-2048", key_usage=(usage,)))
    for way in ("file", "fingerprint"):
        said = user.pin("--by", way)
        if "GnuTLS" in user.client.tls:
            assert (said.code, user.state()) == (1, {})
            assert "digitalSignature" in said.err
            user.write(f"set ssl:ca-file {user.write(shown.pem, 'theirs.crt')}\n")
            assert not user.logs_in()  # pinned by hand
            user.rc.unlink()
            (user.home / "theirs.crt").unlink()
            user.rc.parent.rmdir()
        else:
            assert said.code == 0


@pytest.mark.parametrize("fields", [{"key": "rsa-1024"}, {"signature": "sha1"}, {"ca": False}, {"usage": "client"}])
def test_weak_certificate_that_lftp_accepts_is_pinned(user: User, fields: dict[str, object]) -> None:
    if "GnuTLS" not in user.client.tls:
        pytest.skip("measured with GnuTLS: a build with OpenSSL refuses weak keys (docs/lftp.md)")
    user.serve(own(**fields))
    assert user.pin().code == 0
    assert user.logs_in()


def test_replace_names_the_host_whose_pin_was_deleted_by_hand(user: User) -> None:
    user.serve(own(names=("localhost", "127.0.0.1")))
    assert user.pin("--by", "fingerprint").code == 0
    assert user.pin(host="127.0.0.1").code == 0
    user.pins.unlink()
    said = user.pin("--by", "fingerprint", "--replace")
    assert said.code == 0
    assert "No longer pinned" in said.out
    assert "127.0.0.1" in said.out


def test_dry_run_shows_a_diff_and_writes_nothing(user: User) -> None:
    said = user.pin("--dry-run")
    assert (said.code, user.state()) == (0, {})
    assert "+set ssl:ca-file" in said.out
    assert "+-----BEGIN CERTIFICATE-----" in said.out
    assert user.pin().code == 0
    before = user.state()
    assert "-set ssl:ca-file" in user.pin("--remove", "--dry-run").out
    assert user.state() == before


def test_list_and_check_follow_the_state_of_the_pin(user: User) -> None:
    shown = user.serve()
    assert user.call("--list").out == "Nothing is pinned.\n"
    assert user.pin("--check").code == 1
    assert user.pin().code == 0
    before = user.state()
    listed = user.call("--list")
    assert re.search(rf"localhost:{user.port} +explicit +by file +{shown.sha256} +\d+ days left", listed.out)
    said = user.pin("--check")
    assert said.code == 0
    assert re.search(r"presents the pinned certificate, \d+ days left", said.out)
    user.serve(twin(shown))
    said = user.pin("--check")
    assert said.code == 1
    assert "HAS CHANGED" in said.err
    user.write(user.rc.read_text() + "set ssl:verify-certificate no\n")
    user.serve(shown)
    assert user.pin("--check").code == 1
    user.write(user.rc.read_text().removesuffix("set ssl:verify-certificate no\n"))
    assert {name: each[2] for name, each in user.state().items()} == {name: each[2] for name, each in before.items()}
    user.session.server.stop()
    assert user.pin("--check").code == 3


def test_edited_pin_file_is_refused_and_kept(user: User) -> None:
    assert user.pin().code == 0
    user.pins.write_bytes(user.pins.read_bytes() + own().pem)
    before = user.state()
    said = user.pin("--replace")
    assert (said.code, user.state()) == (3, before)
    assert "ftps-lab-pins.crt" in said.err


def test_missing_pin_file_is_refused_until_replace(user: User) -> None:
    assert user.pin().code == 0
    user.pins.unlink()
    assert user.pin().code == 1
    assert user.pin("--replace").code == 0
    assert user.logs_in()


def test_run_killed_between_its_two_writes_is_completed(user: User) -> None:
    shown = user.serve()
    assert user.pin().code == 0
    whole = {name: each[2] for name, each in user.state().items()}
    user.rc.unlink()  # the pins were written, the rc was not
    assert user.call("--list").code == 1
    assert user.pin().code == 0
    assert {name: each[2] for name, each in user.state().items()} == whole
    # For a second host, the lines were written but the pin was not.
    rc = user.rc.read_text()
    assert user.pin("--replace").code == 0
    user.rc.write_text(rc)
    user.serve(shown)
    assert user.pin().code == 0


def test_temporary_files_of_a_killed_run_are_removed(user: User) -> None:
    user.write("half", ".lftp/.rc.ftps-lab-new")
    user.write("half", ".lftp/.ftps-lab-pins.crt.ftps-lab-new")
    assert user.pin().code == 0
    assert sorted(path.name for path in user.rc.parent.iterdir()) == ["ftps-lab-pins.crt", "rc"]


def test_pin_that_lftp_does_not_see_is_rolled_back(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    user.write(MINE)
    before = user.state()
    off = Asked("set ssl:verify-certificate no\n", "")
    monkeypatch.setattr(Asker, "as_it_is", lambda self: off)
    assert user.pin().code == 1
    assert {name: each[2] for name, each in user.state().items()} == {name: each[2] for name, each in before.items()}


def test_failure_to_write_the_second_file_rolls_back_the_first(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    user.write(MINE)
    real = Replacement.take_place

    def failing(self: Replacement) -> None:
        if self._path == user.rc and b"ssl:ca-file" in (self._data or b""):
            raise OSError(28, "No space left on device", str(self._path))
        real(self)

    monkeypatch.setattr(Replacement, "take_place", failing)
    assert user.pin().code == 3
    assert user.rc.read_text() == MINE
    assert [path.name for path in user.rc.parent.iterdir()] == ["rc"]


def test_dangling_symlink_or_one_out_of_home_is_refused(user: User) -> None:
    outside = user.home.parent / "elsewhere"
    outside.write_text(MINE)
    user.rc.parent.mkdir(mode=0o700)
    for leads_to in (outside, user.home / "nowhere"):
        user.rc.symlink_to(leads_to)
        said = user.pin()
        assert said.code == 3
        assert "symbolic link" in said.err
        user.rc.unlink()
    assert outside.read_text() == MINE


def test_symlinked_pin_file_is_followed_and_removed_with_its_target(user: User) -> None:
    assert user.pin().code == 0
    target = user.home / "dotfiles/pins"
    target.parent.mkdir()
    user.pins.rename(target)
    user.pins.symlink_to("../dotfiles/pins")
    new = user.serve(own())
    assert user.pin("--replace").code == 0
    assert user.pins.is_symlink()
    assert new.pem in target.read_bytes()
    assert user.logs_in()
    assert user.pin("--remove").code == 0
    assert (list(user.rc.parent.iterdir()), list(target.parent.iterdir())) == ([], [])


def test_lftp_home_is_honoured_and_must_exist(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = user.home.parent / "lftp-home"
    monkeypatch.setenv("LFTP_HOME", str(folder))
    assert user.pin().code == 3
    folder.mkdir()
    assert user.pin().code == 0
    assert sorted(path.name for path in folder.iterdir()) == ["ftps-lab-pins.crt", "rc"]
    assert user.state() == {}


def test_implicit_ftps_is_pinned_with_the_option_only(user: User) -> None:
    user.serve(protocol="implicit")
    assert user.pin("--timeout", "1").code == 3
    assert user.pin("--implicit").code == 0
    assert "implicit" in user.call("--list").out
    assert user.pin("--check", "--implicit").code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give HOST"),
        (["a", "--list"], "takes no HOST"),
        (["a", "--list", "--check"], "give only one of them"),
        (["a", "--expect", "12:34"], "64 hexadecimal digits"),
        (["a", "--check", "--expect", "0" * 64], "omit --expect"),
        (["a", "--check", "--dry-run"], "omit --dry-run"),
        (["a;b"], "host 'a;b'"),
        (["--by", "trust", "a"], "--by"),
    ],
)
def test_usage_error_exits_2_and_writes_nothing(user: User, arguments: list[str], said: str) -> None:
    found = user.call(*arguments)
    assert (found.code, user.state()) == (2, {})
    assert said in found.err
