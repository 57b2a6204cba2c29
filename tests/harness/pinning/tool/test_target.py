"""Host names as typed: only what may appear in an rc is accepted."""

from __future__ import annotations

import pytest

from ftps_harness.errors import UsageError
from ftps_harness.pinning.tool.target import Target, parse


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("backup.example", "backup.example", 21),
        ("Backup.EXAMPLE:2121", "backup.example", 2121),
        ("nas", "nas", 21),
        ("my_nas-2.lan", "my_nas-2.lan", 21),
        ("192.0.2.7:65535", "192.0.2.7", 65535),
        ("[::1]", "::1", 21),
        ("[2001:DB8:0::1]:990", "2001:db8::1", 990),
        ("xn--mller-kva.example", "xn--mller-kva.example", 21),
    ],
)
def test_host_and_port_are_parsed(text: str, host: str, port: int) -> None:
    assert parse(text) == Target(host, port, "explicit")


def test_implicit_ftps_defaults_to_990_and_a_separate_port_is_taken() -> None:
    assert parse("backup.example", implicit=True) == Target("backup.example", 990, "implicit")
    assert parse("backup.example:2990", implicit=True) == Target("backup.example", 2990, "implicit")
    assert parse("::1", given=2121) == Target("::1", 2121, "explicit")
    assert str(parse("::1", given=2121)) == "[::1]:2121"


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            " ",
            ".",
            "a.",
            ".a",
            "a..b",
            "-a",
            "a-",
            "a.-b",
            "--by",
            "a b",
            " a",
            "a\n",
            "a\nset x y",
            "a\0b",
            "a\tb",
        ),
        *(
            "a;b",
            "a|b",
            "a&b",
            "a>b",
            "a'b",
            'a"b',
            "$(id)",
            "`id`",
            "a\\b",
            "a/b",
            "a#b",
            "a*",
            "a?",
            "a,b",
            "a@b",
            "!a",
        ),
        *("~", "a%b", "a=b", "a(b)", "a{b}", "a[b]", "müller.example", "a\u202eb", "a" * 64, "a." * 127 + "ab"),
        *("1.2.3", "256.1.1.1", "1.2.3.4.5", "01.2.3.4", "0x7f000001", "2130706433"),
        *("::1", "::1:21", "[::1", "::1]", "[::1]x", "[a]", "[1.2.3.4]", "[fe80::1%eth0]", "fe80::1%eth0", "[]"),
        *("a:", "a:0", "a:65536", "a:-1", "a:+1", "a:2 1", "a:21:21", "a:x", "a:٢١", "a:1e1", "a:000021"),
    ],
)
def test_malformed_host_is_a_printable_usage_error(text: str) -> None:
    with pytest.raises(UsageError) as error:
        parse(text)
    assert "\n" not in str(error.value)
    assert str(error.value).isprintable()


def test_port_given_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="twice"):
        parse("a:21", given=22)
