"""A password is found anywhere in bytes, in the usual encodings; public and anonymous ones do not count."""

from __future__ import annotations

import base64
import binascii
import codecs
import quopri
import random
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

import pytest

from ftps_harness.sandbox.secrets import Secrets
from ftps_harness.verdict.needles import Passwords, as_text, is_secret, passwords_in_clear, passwords_sent
from ftps_lab.testimony import Credential, Testimony, WireRecord

if TYPE_CHECKING:
    from collections.abc import Callable

PASSWORDS = ["Tr0ub4dor&3 ", 'it\'s 100% "#1" @home $HOME, ü/\\', "s3cr3t", "пароль", "pass-abcdefghijkm23456789"]
LOGIN = Credential(1, "user", "pass-secret", "tls", accepted=True)


def sent_by_client(stream: bytes, kind: str = "control") -> list[WireRecord]:
    """The bytes that one client sent."""
    return [WireRecord("control" if kind == "control" else "data", ("127.0.0.1", 40001), stream, b"")]


@pytest.mark.parametrize("password", PASSWORDS)
def test_password_is_found_in_every_usual_encoding(password: str) -> None:
    passwords = Passwords.of([password])
    plain = password.encode()
    for before in (b"", b"x", b"me", b"bob:", b"alice:", b"PASS "):
        for behind in (b"", b" ", b"\r\n", b"xyz"):
            assert passwords.found_in(before + plain + behind)
            assert passwords.found_in(base64.b64encode(before + plain + behind))
            assert passwords.found_in(base64.urlsafe_b64encode(before + plain + behind))
            assert passwords.found_in((before + plain + behind).hex().encode())
            assert passwords.found_in((before + plain + behind).hex().upper().encode())
            assert passwords.found_in(base64.encodebytes(b"x" * 50 + before + plain + behind))
    assert passwords.found_in(b"ftp://u:" + quote(password, safe="").encode() + b"@host/")
    assert passwords.found_in(quote(password).lower().encode() if password.islower() else quote(password).encode())
    assert passwords.found_in(b"p=" + quote_plus(password).encode())
    assert passwords.found_in("".join(f"%{byte:02X}" for byte in plain).encode())


DISGUISES: dict[str, Callable[[bytes], bytes]] = {
    "base32": base64.b32encode,
    "base32 in lower case": lambda data: base64.b32encode(data).lower(),
    "base64 twice": lambda data: base64.b64encode(base64.b64encode(data)),
    "base64 twice, in lines": lambda data: base64.encodebytes(base64.b64encode(b"x" * 50 + data)),
    "base64 reversed": lambda data: base64.b64encode(data[::-1]),
    "UTF-16LE": lambda data: data.decode().encode("utf-16-le"),
    "UTF-16BE": lambda data: data.decode().encode("utf-16-be"),
    "base64 of UTF-16LE": lambda data: base64.b64encode(data.decode().encode("utf-16-le")),
    "upper case": bytes.upper,
    "swapped case": bytes.swapcase,
    "reversed": lambda data: data[::-1],
    "rot13": lambda data: codecs.encode(data.decode(), "rot13").encode(),
    "quoted-printable": quopri.encodestring,
    "quoted-printable, each byte": lambda data: b"".join(b"=%02X" % byte for byte in data),
    "letter by letter": lambda data: b" ".join(bytes([byte]) for byte in data),
    "spaced hex": lambda data: data.hex(" ").encode(),
    "C": lambda data: b"".join(b"\\x%02x" % byte for byte in data),
    "decimal": lambda data: b", ".join(b"%d" % byte for byte in data),
    "octal": lambda data: b"".join(b"\\%03o" % byte for byte in data),
    "binary": lambda data: b" ".join(f"{byte:08b}".encode() for byte in data),
    "decimal, three digits": lambda data: b"".join(b"%03d" % byte for byte in data),
    "hex with 0x": lambda data: b"".join(b"0x%02x" % byte for byte in data),
    "hex with 0x and commas": lambda data: b", ".join(b"0x%02X" % byte for byte in data),
    "HTML": lambda data: b"".join(b"&#x%x;" % byte for byte in data),
    "JSON": lambda data: b"".join(b"\\u%04x" % byte for byte in data),
    "percent-encoded twice": lambda data: b"".join(b"%%25%02X" % byte for byte in data),
    "hex reversed": lambda data: data.hex()[::-1].encode(),
    "hex twice": lambda data: data.hex().encode().hex().encode(),
    "hex of base64": lambda data: base64.b64encode(data).hex().encode(),
    "base64, then reversed": lambda data: base64.b64encode(data)[::-1],
}
OF_SYMBOLS: dict[str, Callable[[bytes], bytes]] = {
    "base85": base64.b85encode,
    "Ascii85": base64.a85encode,
    "uuencode": lambda data: binascii.b2a_uu(data[:45]),
}
"""Encodings in which a short password keeps too few letters."""


@pytest.mark.parametrize(
    ("password", "disguise"),
    [
        *(("Tr0ub4dor&3 ", name) for name in DISGUISES),
        *(("pass-abcdefghijkm23456789", name) for name in [*DISGUISES, *OF_SYMBOLS]),
    ],
)
def test_password_in_a_rare_encoding_is_found(password: str, disguise: str) -> None:
    passwords = Passwords.of([password])
    for before in ("", "x", "me", "bob", "user"):
        for behind in ("", " ", "xyz"):
            told = (DISGUISES | OF_SYMBOLS)[disguise]((before + password + behind).encode())
            assert passwords.found_in(told)
            assert passwords.found_in(b"SITE " + told + b"\r\n" + b"NOOP\r\n" * 5)


def test_random_bytes_contain_no_encoded_password() -> None:
    noise = random.Random(1).randbytes(1 << 20)
    assert not Passwords.of(["s3cr3t", "12345678", "Tr0ub4dor&3 "]).found_in(noise)


def test_password_is_found_in_latin_1() -> None:
    passwords = Passwords.of(["größer"])
    assert passwords.found_in("PASS größer".encode("latin-1"))
    assert passwords.found_in(base64.b64encode("x:größer".encode("latin-1")))
    assert as_text("größer".encode("latin-1")) == as_text("größer".encode()) == "größer"


def test_password_too_short_in_latin_1_is_searched_in_utf_8_only() -> None:
    """Three bytes occur by chance in any stream."""
    passwords = Passwords.of(["öäü"])
    assert passwords.found_in("öäü".encode())
    assert not passwords.found_in(b"x" + "öäü".encode("latin-1"))


def test_password_in_upper_case_is_found() -> None:
    passwords = Passwords.of(["pass-secret"])
    assert passwords.found_in_upper_case(b"PASS-SECRET")
    assert passwords.found_in_upper_case(base64.b64encode(b"pass-secret").upper())
    assert not passwords.found_in_upper_case(b"PASS")


@pytest.mark.parametrize("password", ["a", "abcde", ""])
def test_short_password_is_not_searched(password: str) -> None:
    """Five bytes occur by chance in a megabyte of TLS, and in many words."""
    assert not Passwords.of([password]).found_in(b"PASS abcde\r\n")


@pytest.mark.parametrize("public", ["backup", "BACKUP", "backup@shop.example"])
def test_password_that_is_part_of_a_public_name_is_not_searched(public: str) -> None:
    assert not Passwords.of(["backup"], public=[public]).found_in(b"USER backup\r\n")
    assert Passwords.of(["backup!"], public=[public]).found_in(b"PASS backup!\r\n")


PIECES = {
    "halves": [b"pass-abcdefgh", b"ijkm23456789"],
    "halves among others": [b"pass-abcdefgh", b"NOOP", b"/some/where", b"ijkm23456789"],
    "halves, the second first": [b"x=ijkm23456789", b"y=pass-abcdefgh"],
    "a letter missing": [b"ass-abcdefghijkm23456789"],
    "halves of base64": [
        base64.b64encode(b"pass-abcdefghijkm23456789")[:18],
        base64.b64encode(b"pass-abcdefghijkm23456789")[18:],
    ],
    "reversed": [b"98765432mkji", b"hgfedcba-ssap"],
}


@pytest.mark.parametrize("parts", PIECES.values(), ids=PIECES)
def test_password_in_pieces_is_found(parts: list[bytes]) -> None:
    passwords = Passwords.of(["pass-abcdefghijkm23456789"], public=["user-abc", "localhost"])
    assert passwords.found_in_pieces(parts)
    assert not passwords.found_in_pieces(parts[:1]) or len(parts) == 1


def test_half_a_password_or_public_pieces_are_not_a_password() -> None:
    """A host's or user's name is on the wire in any case, and words of file names occur in passwords."""
    assert not Passwords.of(["pass-abcdefghijkm23456789"]).found_in_pieces([b"pass-abcdefgh", b"ijkm"])
    assert not Passwords.of(["nightlyuser1"], public=["nightlyuser"]).found_in_pieces([b"USER nightlyuser"])
    assert not Passwords.of(["Backup2026!"]).found_in_pieces([b"/backup/2026/nightly.tar"])
    assert not Passwords.of(["Backup2026!"]).found_in_pieces([])
    noise = random.Random(1).randbytes(1 << 16)
    assert not Passwords.of(PASSWORDS).found_in_pieces([noise, b"MLSD", b"20261129101311", b"0" * 999, b"01" * 999])


def test_password_in_the_url_for_a_proxy_is_found() -> None:
    """lftp sends it with ``hftp:use-authorization no``, and no server needs to know it."""
    request = b"GET ftp://me:hunter%20two@localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n"
    assert list(passwords_in_clear(sent_by_client(request))) == ["hunter two"]
    assert not list(passwords_in_clear(sent_by_client(request.replace(b"me:hunter%20two", b"me"))))
    assert not list(passwords_in_clear(sent_by_client(request.replace(b"me:", b"anonymous:"))))


def test_other_bytes_contain_no_password() -> None:
    passwords = Passwords.of(PASSWORDS)
    noise = b"".join([*Secrets.new(1 << 20).tree.values(), b"%41%zz%", base64.b64encode(b"pass-abcdefghijkm")])
    assert not passwords.found_in(noise)
    assert not Passwords().found_in(b"%41")


@pytest.mark.parametrize(
    ("change", "secret"),
    [
        ({}, True),
        ({"password": "x"}, True),
        ({"accepted": False}, True),
        ({"user": ""}, True),
        ({"user": "anonymous"}, False),
        ({"user": "Anonymous", "password": "me@home"}, False),
        ({"password": "lftp@"}, False),
        ({"password": ""}, False),
        ({"password": None}, False),
    ],
)
def test_credentials_are_secret_unless_anonymous_or_empty(change: dict[str, str], secret: bool) -> None:
    login = replace(LOGIN, **change)  # type: ignore[arg-type]  # the table has one value for each
    assert is_secret(login) is secret
    assert list(passwords_sent(Testimony("genuine", credentials=(login,)))) == ([login.password] if secret else [])


def test_password_sent_to_the_server_behind_an_attacker_counts() -> None:
    behind = Testimony("genuine", credentials=(LOGIN,))
    assert list(passwords_sent(Testimony("impostor", behind=behind))) == ["pass-secret"]


@pytest.mark.parametrize(
    ("stream", "found"),
    [
        (b"USER u\r\nPASS x\r\n", ["x"]),
        (b"USER u\r\nPASS  two blanks \r\n", [" two blanks "]),
        (b"user u\npass x\n", ["x"]),
        (b"USER u\r\n  PASS x\r\n", ["x"]),
        (b"PASS x", ["x"]),
        (b"AUTH TLS\r\nUSER u\r\nPASS x\r\nUSER v\r\nPASS y\r\n", ["x", "y"]),
        (b"USER anonymous\r\nPASS x\r\nUSER u\r\nPASS y\r\n", ["y"]),
        (b"USER anonymous\r\nPASS lftp@\r\n", []),
        (b"USER u\r\nPASS lftp@\r\n", []),
        (b"USER u\r\nPASS \r\n", []),
        (b"USER u\r\nPASSIVE x\r\nXPASS y\r\n", []),
        ("PASS größer\r\n".encode("latin-1"), ["größer"]),
        (b"GET ftp://h/ HTTP/1.1\r\nAuthorization: Basic " + base64.b64encode(b"u:a:b") + b"\r\n", ["a:b"]),
        (b"GET / HTTP/1.1\r\nProxy-Authorization: basic " + base64.b64encode(b"u:p") + b"\r\n", ["p"]),
        (b"GET / HTTP/1.1\r\nAuthorization: Basic " + base64.b64encode(b"anonymous:lftp@") + b"\r\n", []),
        (b"GET / HTTP/1.1\r\nAuthorization: Basic a\r\n", []),
    ],
)
def test_passwords_are_read_from_a_clear_control_connection(stream: bytes, found: list[str]) -> None:
    assert list(passwords_in_clear(sent_by_client(stream))) == found
    assert list(passwords_in_clear(sent_by_client(stream, kind="data"))) == []


@pytest.mark.parametrize("seed", range(40))
def test_index_of_pieces_loses_none(seed: int) -> None:
    """Random pieces of a random form give the same answer as a search for every six letters of every form."""
    chance = random.Random(seed)
    password = "".join(chance.choices("abcdefghijkmnpqrstuvwxyz23456789-", k=chance.randint(12, 30)))
    passwords = Passwords.of([password])
    form = chance.choice([each for each in passwords.disguised if len(each) >= 12])
    parts, at = [], chance.randint(0, 3)
    while at < len(form):
        length = chance.choice([5, 6, 6, 7, 12])
        if chance.random() < 0.9:
            parts.append(bytes(chance.choices(b"xyz ", k=chance.randint(0, 4))) + form[at : at + length])
        at += length
    chance.shuffle(parts)

    def covered(form: bytes) -> int:
        found = [
            at for at in range(len(form) - 5) if any(form[at : at + 6] in part.replace(b" ", b"") for part in parts)
        ]
        return len({at + number for at in found for number in range(6)})

    forms = [each for each in passwords.disguised if len(each) >= 12 and len(set(each)) >= 5]
    assert passwords.found_in_pieces(parts) == any(covered(each) >= 0.8 * len(each) for each in forms)
