"""Which arguments of a program are a password or private key, and which only look like one."""

from __future__ import annotations

import re

import pytest

from ftps_harness.pinning import passwords

SECRET = "correct-horse-battery"


def matching_patterns(*words: str) -> list[str]:
    text = b"\0".join(word.encode() for word in words)
    expressions = passwords.expressions(SECRET)
    return [passwords.named(i, SECRET) for i, each in enumerate(expressions) if re.search(each.encode(), text)]


@pytest.mark.parametrize(
    "words",
    [
        ("openssl", "pkcs12", "-passout", "pass:x"),
        ("openssl", "rsa", "-passin", "pass:a b"),
        ("sh", "-c", "openssl enc -aes256 -pass pass:x -in f"),
        ("sh", "-c", "openssl enc -aes256 -pass 'pass:x'"),
        ("openssl", "enc", "-aes256", "-k", "x"),
        ("lftp", "-u", "me,pw", "ftp.example.org"),
        ("lftp", "-ume,pw"),
        ("lftp", "--user", "me,pw"),
        ("sh", "-c", "lftp -u me,pw -e ls h"),
        ("lftp", "-c", "open -u me,pw h; ls"),
        ("lftp", "--env-password", "--password=pw"),
        ("curl", "--user", "me:pw", "ftp://h/"),
        ("curl", "-u", "me@example.org:pw"),
        ("wget", "--ftp-password=pw"),
        ("lftp", "ftp://me:pw@h/"),
        ("sshpass", "-ppw", "ssh"),
        ("grep", SECRET),
        ("sh", "-c", "echo '-----BEGIN EC PRIVATE KEY-----'"),
    ],
    ids=" ".join,
)
def test_secret_in_arguments_is_found(words: tuple[str, ...]) -> None:
    assert matching_patterns(*words)


@pytest.mark.parametrize(
    "words",
    [
        ("openssl", "s_client", "-starttls", "ftp", "-connect", "ftp.example.org:21", "-servername", "ftp.example.org"),
        ("openssl", "rsa", "-passin", "env:PASSWORD"),
        ("openssl", "pkcs12", "-passout", "file:/run/secret"),
        ("openssl", "x509", "-noout", "-fingerprint", "-sha256"),
        ("lftp", "-u", "me", "ftp.example.org"),
        ("lftp", "-u", "anonymous,me@example.org", "h"),
        ("lftp", "-c", "set -a"),
        ("lftp", "-c", 'set ssl:ca-file "/home/user/.lftp/pins.crt"; set ftp:ssl-force yes'),
        ("lftp", "--env-password", "-u", "me", "h"),
        ("curl", "ftp://ftp.example.org:21/a@b"),
        ("curl", "ftp://[2001:db8::1]:21/"),
        ("sort", "-u", "a,b"[:1]),
        ("date", "-u", "+%H:%M"),
        ("tool", "--password-file", "/run/secret"),
        ("tool", "--password", "--host", "h"),
        ("timeout", "-k", "5", "20", "openssl", "s_client"),
    ],
    ids=" ".join,
)
def test_harmless_arguments_are_not_reported(words: tuple[str, ...]) -> None:
    assert not matching_patterns(*words)


def test_every_pattern_has_a_distinct_description() -> None:
    assert len({each.what for each in passwords.SOUGHT}) == len(passwords.SOUGHT)
