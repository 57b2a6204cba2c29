"""Proof that a request was carried out: if any part of it is missing, the request is not done."""

from __future__ import annotations

import hashlib
import os
import secrets as randomness
import shutil
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest
from tests.ordinary import without_root_powers

from ftps_harness.play.actions.evidence import ClientAction, Evidence
from ftps_harness.play.actions.tasks import client_actions, files_below, holds_payload, populate
from ftps_harness.sandbox.secrets import RECOGNISED, Secrets
from ftps_lab.testimony import Credential, Testimony, Transfer

if TYPE_CHECKING:
    from pathlib import Path

LOGGED_IN = Credential(1, "user", "password", "tls", accepted=True)
SIZES = [0, 3, 64 * 1024]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def transfer(verb: str, data: bytes) -> Transfer:
    direction = "upload" if verb in {"STOR", "APPE", "STOU"} else "download"
    size = len(data) or (100 if verb == "LIST" else 0)
    return Transfer(2, 1, verb, "", direction, size, sha256(data), "tls", "AA", completed=True)  # type: ignore[arg-type]


@dataclass
class Case:
    """A download folder, a server folder, and the statements of all witnesses."""

    folder: Path
    secrets: Secrets
    stdout: bytes = b""
    complaint: bool = False
    known: bytes = b""
    transfers: tuple[Transfer, ...] = ()
    credentials: tuple[Credential, ...] = (LOGGED_IN,)
    root: Path = field(init=False)
    downloads: Path = field(init=False)
    uploads: Path = field(init=False)

    def __post_init__(self) -> None:
        self.root, self.downloads, self.uploads = (self.folder / name for name in ("root", "downloads", "uploads"))
        for folder in (self.root, self.downloads, self.uploads):
            folder.mkdir()
        populate(self.root, self.secrets)

    @property
    def evidence(self) -> Evidence:
        testimony = Testimony("genuine", credentials=self.credentials, transfers=self.transfers)
        written = tuple(files_below(self.downloads))
        return Evidence(self.stdout, self.complaint, self.downloads, written, self.root, testimony, self.known)

    def action(self, item: str) -> ClientAction:
        (action,) = client_actions((item,), self.secrets, self.downloads, self.uploads, self.folder / "marks")
        return action

    def done(self, action: ClientAction) -> bool:
        return action.proof(self.evidence).done

    def alter_transfers(self, **changes: object) -> None:
        """Change every transfer."""
        self.transfers = tuple(replace(transfer, **changes) for transfer in self.transfers)  # type: ignore[arg-type]


@pytest.fixture(params=SIZES)
def case(tmp_path: Path, request: pytest.FixtureRequest) -> Case:
    return Case(tmp_path, Secrets.new(request.param))


@pytest.fixture
def small(tmp_path: Path) -> Case:
    return Case(tmp_path, Secrets.new())


def test_listing_needs_the_name_at_the_client_and_a_transfer(small: Case) -> None:
    """The name of another request does not count: lftp may have printed that request."""
    action = small.action("list")
    small.stdout = f"-rw-r--r-- 1 x x 3 {small.secrets.listed_name}\n".encode()
    small.transfers = (transfer("LIST", small.stdout),)
    assert small.done(action)
    small.stdout = small.stdout.replace(small.secrets.listed_name.encode(), small.secrets.file_name.encode())
    assert action.proof(small.evidence).client is False


@pytest.mark.parametrize("changes", [{"completed": False}, {"size": 0}, {"verb": "RETR"}])
def test_listing_incomplete_at_the_server_is_not_done(small: Case, changes: dict[str, object]) -> None:
    small.stdout = small.secrets.listed_name.encode()
    small.transfers = (transfer("LIST", small.stdout),)
    small.alter_transfers(**changes)
    assert not small.action("list").proof(small.evidence).server


def test_download_needs_the_same_bytes_on_both_sides(case: Case) -> None:
    action = case.action("get")
    path = case.downloads / case.secrets.file_name
    path.write_bytes(case.secrets.content)
    case.transfers = (transfer("RETR", case.secrets.content),)
    assert case.done(action)
    path.write_bytes(case.secrets.content + b"\n")
    assert action.proof(case.evidence).client is False
    path.unlink()
    assert action.proof(case.evidence).client is False
    path.mkdir()
    assert action.proof(case.evidence).client is False


@pytest.mark.parametrize("changes", [{"completed": False}, {"sha256": sha256(b"else")}, {"verb": "STOR"}])
def test_download_incomplete_at_the_server_is_not_done(case: Case, changes: dict[str, object]) -> None:
    (case.downloads / case.secrets.file_name).write_bytes(case.secrets.content)
    case.transfers = (transfer("RETR", case.secrets.content),)
    case.alter_transfers(**changes)
    assert not case.action("get").proof(case.evidence).server


def test_upload_needs_the_bytes_in_testimony_and_on_disk(case: Case) -> None:
    action = case.action("put")
    stored = case.root / case.secrets.upload_name
    stored.write_bytes(case.secrets.upload_content)
    case.transfers = (transfer("STOR", case.secrets.upload_content),)
    assert case.done(action)
    stored.write_bytes(case.secrets.upload_content[:-1] + b"?")
    assert not case.done(action)
    stored.unlink()
    assert not case.done(action)


@pytest.mark.parametrize("changes", [{"completed": False}, {"sha256": sha256(b"else")}, {"verb": "RETR"}])
def test_upload_of_an_earlier_step_proves_nothing(case: Case, changes: dict[str, object]) -> None:
    """The file still exists, but this step's testimony does not mention it."""
    (case.root / case.secrets.upload_name).write_bytes(case.secrets.upload_content)
    case.transfers = (transfer("STOR", case.secrets.upload_content),)
    case.alter_transfers(**changes)
    assert not case.done(case.action("put"))
    case.transfers = ()
    assert not case.done(case.action("put"))


def test_mirror_needs_every_file_on_both_sides(case: Case) -> None:
    action = case.action("mirror")
    shutil.copytree(case.root / case.secrets.tree_name, case.downloads / "mirror")
    case.transfers = tuple(transfer("RETR", data) for data in case.secrets.tree.values())
    assert case.done(action)
    for name, data in case.secrets.tree.items():
        path = case.downloads / "mirror" / name
        path.unlink()
        assert action.proof(case.evidence).client is False
        path.write_bytes(data)
    assert case.done(action)
    case.alter_transfers(completed=False)
    assert not case.done(action)


def test_mirror_without_one_transfer_is_not_done(small: Case) -> None:
    shutil.copytree(small.root / small.secrets.tree_name, small.downloads / "mirror")
    small.transfers = tuple(transfer("RETR", data) for data in small.secrets.tree.values())[1:]
    assert not small.action("mirror").proof(small.evidence).server


@pytest.mark.parametrize("size", [3, 12, 3072])
def test_content_is_found_in_any_file_that_lftp_wrote(tmp_path: Path, size: int) -> None:
    case = Case(tmp_path, Secrets.new(size))
    assert not holds_payload(case.evidence, case.secrets)
    for data in (case.secrets.content, *case.secrets.tree.values()):
        (case.downloads / "some name").write_bytes(data)
        assert holds_payload(case.evidence, case.secrets)
    (case.downloads / "some name").write_bytes(b"")
    assert not holds_payload(case.evidence, case.secrets)
    case.stdout = case.secrets.file_name.encode()
    assert holds_payload(case.evidence, case.secrets)


@pytest.mark.parametrize("kept", [1, 16 << 10, 64 << 10])
def test_part_of_a_users_own_file_is_content(small: Case, kept: int) -> None:
    """lftp keeps the bytes it got before it refused: they carry no mark of the lab's and match no transfer's hash."""
    whole = randomness.token_bytes(64 << 10)
    (small.root / "own").write_bytes(whole)
    small.transfers = (replace(transfer("RETR", whole[: 48 << 10]), name="own", completed=False),)
    got = small.downloads / "any name"
    got.write_bytes(b"")
    assert not holds_payload(small.evidence, small.secrets)
    got.write_bytes(whole[:kept])
    assert holds_payload(small.evidence, small.secrets)
    got.write_bytes(b"x" + whole[:kept])
    assert not holds_payload(small.evidence, small.secrets)
    small.stdout = b"> " + whole[: max(kept, RECOGNISED)]
    assert holds_payload(small.evidence, small.secrets)
    small.transfers = (replace(transfer("STOR", whole), name="own"),)
    assert not holds_payload(small.evidence, small.secrets)


def test_empty_file_is_not_content(tmp_path: Path) -> None:
    """A refused download leaves an empty file behind."""
    case = Case(tmp_path, Secrets.new(0))
    (case.downloads / "empty").touch()
    assert not holds_payload(case.evidence, case.secrets)


def test_content_is_found_in_unreadable_files(small: Case) -> None:
    """Otherwise a client that got everything could hide it."""
    folder = small.downloads / "closed"
    folder.mkdir()
    (folder / "file").write_bytes(small.secrets.content)
    (folder / "file").chmod(0)
    folder.chmod(0)
    with without_root_powers():
        assert holds_payload(small.evidence, small.secrets)


def test_unreadable_download_is_done(small: Case) -> None:
    """`mirror` leaves such a file if the server's mode has no read permission."""
    small.stdout, small.transfers = b"", (transfer("RETR", small.secrets.content),)
    path = small.downloads / small.secrets.file_name
    path.write_bytes(small.secrets.content)
    path.chmod(0)
    with without_root_powers():
        assert small.done(small.action("get"))


def test_transfer_log_lines_are_not_content(small: Case) -> None:
    """They are known by their form: a user's file may have the name of lftp's log and hold content."""
    noted = f"2026-11-28 14:54:28 ftp://u@localhost:1/{next(iter(small.secrets.tree))} -> /home/x 0-6 3.4 KiB/s\n"
    for name in ("transfer_log", "any.log"):
        path = small.downloads / name
        path.write_text(noted * 2)
        assert not holds_payload(small.evidence, small.secrets)
        path.write_text(noted + small.secrets.listed_name + "\n")
        assert holds_payload(small.evidence, small.secrets)
        path.write_bytes(small.secrets.content)
        assert holds_payload(small.evidence, small.secrets)
        path.unlink()


def test_echoed_name_is_not_content(small: Case) -> None:
    name = small.secrets.file_name
    small.stdout = f"+ get {name} -o x\n".encode()
    assert holds_payload(small.evidence, small.secrets)
    small.known = f"get {name} -o x".encode()
    assert not holds_payload(small.evidence, small.secrets)
    for listed in (
        f"-rw-r--r--   1 u g 3072 Nov 22 10:00 {name}\r\n",
        f"type=file;size=3;modify=20261128;UNIX.mode=0644; {name}\r\n",
        f"+ get {name} -o x\n{small.secrets.listed_name}\n",
        f"+ get {name} -o x\n" + small.secrets.content.decode()[:RECOGNISED],
    ):
        small.stdout = listed.encode()
        assert holds_payload(small.evidence, small.secrets)


def test_every_change_of_a_file_is_noticed(tmp_path: Path) -> None:
    """Even if it keeps size and modification time."""
    path = tmp_path / "below" / "file"
    path.parent.mkdir()
    path.write_bytes(b"abc")
    (tmp_path / "dangling").symlink_to("nowhere")
    os.mkfifo(tmp_path / "fifo")
    before = files_below(tmp_path)
    assert set(before) == {path}
    assert files_below(tmp_path) == before
    times = path.stat()
    time.sleep(0.02)  # the file system's clock ticks every 4 ms
    path.write_bytes(b"xyz")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert files_below(tmp_path) != before
    assert files_below(tmp_path / "none") == {}
