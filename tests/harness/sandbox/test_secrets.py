"""Secrets are random in each run, valid in FTP and lftp, and recognized wherever a part of them appears."""

from __future__ import annotations

import re

import pytest

from ftps_harness.sandbox.secrets import DEFAULT_SIZE, RECOGNISED, Secrets
from ftps_harness.verdict.needles import Passwords

MIB = 1024 * 1024


def contents(secrets: Secrets) -> list[bytes]:
    return [secrets.content, secrets.upload_content, *secrets.tree.values()]


def names(secrets: Secrets) -> list[str]:
    return [secrets.file_name, secrets.upload_name, secrets.tree_name, secrets.listed_name, *secrets.tree]


def test_two_runs_share_no_secret() -> None:
    one, two = Secrets.new(), Secrets.new()
    mine = {one.user, one.password, *names(one), *map(bytes.decode, contents(one))}
    yours = {two.user, two.password, *names(two), *map(bytes.decode, contents(two))}
    assert mine.isdisjoint(yours)
    assert not any(one.find_payload(content) for content in contents(two))


def test_names_and_contents_within_a_run_differ() -> None:
    secrets = Secrets.new()
    assert len(set(names(secrets))) == len(names(secrets))
    assert len(set(contents(secrets))) == len(contents(secrets))


def test_names_are_safe_in_ftp_lftp_and_file_systems() -> None:
    secrets = Secrets.new()
    for word in (secrets.user, secrets.password, *names(secrets)):
        assert re.fullmatch(r"[a-z][a-z0-9.-]+", word)


@pytest.mark.parametrize("size", [0, 1, 3, 11, 12, 63, 82, 83, 84, 127, 128, DEFAULT_SIZE, MIB + 1, 5 * MIB])
def test_contents_have_exactly_the_requested_size(size: int) -> None:
    assert {len(content) for content in contents(Secrets.new(size))} == {size}


def test_every_piece_of_minimum_length_is_recognised() -> None:
    secrets = Secrets.new(1000)
    for content in contents(secrets):
        for start in range(len(content) - RECOGNISED + 1):
            assert secrets.find_payload(b"\x16\x03" + content[start : start + RECOGNISED] + b"\0")


@pytest.mark.parametrize("size", [12, 40, RECOGNISED - 1])
def test_small_contents_are_recognised_whole(size: int) -> None:
    secrets = Secrets.new(size)
    assert all(secrets.find_payload(b"x" + content + b"y") for content in contents(secrets))


def test_tiny_contents_are_recognised_by_name_only() -> None:
    """Three bytes can appear anywhere by chance; such a file's content is compared by its hash."""
    secrets = Secrets.new(3)
    assert not secrets.find_payload(b"".join(contents(secrets)))
    assert secrets.find_payload(f"-rw-r--r-- 1 u g 3 Jan 1 {secrets.file_name}\r\n".encode())


def test_listing_is_recognised_as_payload() -> None:
    secrets = Secrets.new()
    for name in names(secrets):
        assert secrets.find_payload(b"-rw-r--r--   1 u g 3072 Nov 22 10:00 " + name.encode() + b"\r\n")


def test_password_is_not_payload() -> None:
    secrets = Secrets.new()
    assert not secrets.find_payload(f"PASS {secrets.password}\r\n".encode())
    passwords = Passwords.of([secrets.password])
    assert not any(passwords.found_in(content) for content in contents(secrets))


def test_random_bytes_contain_no_secret() -> None:
    secrets = Secrets.new()
    noise = b"".join(contents(Secrets.new(MIB)))
    assert not Passwords.of([secrets.password]).found_in(noise)
    assert not secrets.find_payload(noise)
