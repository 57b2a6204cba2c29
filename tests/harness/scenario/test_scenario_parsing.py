"""A scenario's content once defaults, changes and references are resolved."""

from __future__ import annotations

import pytest

from ftps_harness.scenario import Expect, Scenario, Server, Source, parse
from ftps_harness.scenario.template import scenario_template
from ftps_lab import certificates as lab

FULL = """
schema = 1
title  = "Every key of the format"
why    = "What is at stake."
tags   = ["document", "pinning"]
claim  = "pin-detects-impostor"

[certificates.root]
common_name = "Root"
names       = []
path_length = 1
key         = "rsa-2048"
signature   = "sha384"
key_usage   = ["keyCertSign", "cRLSign"]

[certificates.genuine]
issuer      = "root"
common_name = ""
names       = ["localhost", "*.example.test", "127.0.0.1", "::1"]
not_before  = 2026-01-01T00:00:00Z
not_after   = "2999-01-01T00:00:00+02:00"
same_key_as = "other"
ca          = "absent"
key_usage   = "absent"
usage       = "any"
key_ids     = false

[certificates.other]
key = "ed25519"
ca  = false

[server]
protocol         = "implicit"
certificate      = "genuine"
chain            = ["root"]
data_certificate = "other"
role             = "genuine"
attack           = "none"
require_tls      = true
tls              = ["1.3"]
user             = "me"
password         = "right"
revoked          = []

[[step]]
title    = "first"
host     = "ftp.example.test"
user     = "anonymous"
password = "wrong"
files    = { "mycert.crt" = "cert:genuine + chain:genuine", "cwd/key" = "key:other", "x" = "served + text:a + cert:b" }
cwd      = "elsewhere"
rc       = '''
set ssl:ca-file "{lftp}/mycert.crt"
set ssl:verify-certificate/{sha1:other} no # {sha256:genuine} {host} {port} {user} {{word}}
'''
run      = ["list", "get", "put", "mirror", "ls; cat x"]
clock    = "+366d"
repeat   = 10
at_least = 4
control  = "none"
why_no_control = "Because."
[step.expect]
verdict   = "exposed"
message   = "NOT trusted"
exposed   = ["password", "payload"]
to        = ["wire", "impostor"]
how_often = "sometimes"
otherwise = ["rejected", "failed"]
[step.expect.classic]
verdict = "rejected"
reason  = ["untrusted", "expired"]
[step.expect."4.8"]
verdict = "accepted"

[[step]]
title  = "second"
server = { certificate = "other", role = "impostor" }
[step.expect]
verdict = "rejected"
reason  = "untrusted"

[[step]]
title = "third"
[step.expect]
verdict = "failed"
"""

SMALL = """
schema = 1
title = "t"
why = "w"
[certificates.a]
[server]
certificate = "a"
[[step]]
title = "s"
[step.expect]
verdict = "accepted"
"""


@pytest.fixture(scope="module")
def full() -> Scenario:
    return parse(FULL, "full.scenario.toml", "area/full")


def test_every_key_of_the_reference_is_read(full: Scenario) -> None:
    assert (full.id, full.file, full.claim, full.tags) == (
        "area/full",
        "full.scenario.toml",
        "pin-detects-impostor",
        ("document", "pinning"),
    )
    assert full.server == Server(
        protocol="implicit",
        certificate="genuine",
        chain=("root",),
        data_certificate="other",
        require_tls=True,
        tls=("1.3",),
        user="me",
        password="right",
    )
    step = full.steps[0]
    assert (step.host, step.user, step.password, step.cwd) == ("ftp.example.test", "anonymous", "wrong", "elsewhere")
    assert (step.run[-1], step.clock, step.repeat, step.at_least) == ("ls; cat x", "+366d", 10, 4)
    assert (step.control, step.why_no_control) == ("none", "Because.")
    assert step.expect == Expect(
        verdict="exposed",
        message="NOT trusted",
        exposed=frozenset({"password", "payload"}),
        to=frozenset({"wire", "impostor"}),
        how_often="sometimes",
        otherwise=("rejected", "failed"),
    )


def test_file_sources_are_split(full: Scenario) -> None:
    """' + ' joins sources; a text runs to the end and may contain ' + '."""
    assert full.steps[0].files == {
        "mycert.crt": (Source("cert", "genuine"), Source("chain", "genuine")),
        "cwd/key": (Source("key", "other"),),
        "x": (Source("served"), Source("text", "a + cert:b")),
    }


def test_server_changes_persist_and_are_marked(full: Scenario) -> None:
    """Everything else starts from its default again in each step."""
    assert [step.changed for step in full.steps] == [False, True, False]
    second, third = full.steps[1:]
    assert second.server == third.server
    assert (third.server.certificate, third.server.role, third.server.chain) == ("other", "impostor", ("root",))
    assert (third.host, third.rc, third.run, third.repeat, third.cwd) == ("localhost", None, ("list", "get"), 1, "home")
    assert (third.files, third.user, third.control, third.clock) == ({}, None, None, None)


def test_rotation_also_changes_an_unnamed_data_certificate() -> None:
    """A named data certificate stays."""
    rotation = '[certificates.b]\n[[step]]\ntitle="2"\nserver={certificate="b"}\nexpect={verdict="failed"}\n'
    following = parse(SMALL + rotation, "f", "a/b").steps[1].server
    named = SMALL.replace("[server]", '[server]\ndata_certificate = "a"')
    staying = parse(named + rotation, "f", "a/b").steps[1].server
    assert (following.certificate, following.data_certificate) == ("b", "b")
    assert (staying.certificate, staying.data_certificate) == ("b", "a")


def test_repeating_the_current_certificate_is_not_a_change() -> None:
    """A step that names the certificate already in use does not rotate it."""
    again = SMALL.replace('title = "s"', 'title = "s"\nserver = { certificate = "a" }')
    assert [step.changed for step in parse(again, "f", "a/b").steps] == [False]


def test_plain_server_needs_no_certificate() -> None:
    plain = SMALL.replace("[certificates.a]", "").replace('certificate = "a"', 'protocol = "plain"')
    assert parse(plain, "f", "a/b").server == Server(protocol="plain")


def test_certificate_tables_become_specs(full: Scenario) -> None:
    """Keys keep their names, and omitted ones keep the lab's default."""
    made = full.certificates
    assert made["genuine"] == lab.CertificateSpec(
        issuer="root",
        common_name="",
        names=("localhost", "*.example.test", "127.0.0.1", "::1"),
        not_before="2026-01-01T00:00:00+00:00",
        not_after="2999-01-01T00:00:00+02:00",
        same_key_as="other",
        ca="absent",
        key_usage="absent",
        usage="any",
        key_ids=False,
    )
    assert made["other"] == lab.CertificateSpec(key="ed25519", ca=False)
    assert made["root"].key_usage == ("keyCertSign", "cRLSign")


def test_empty_certificate_table_has_the_defaults() -> None:
    assert parse(SMALL, "f", "a/b").certificates == {"a": lab.CertificateSpec()}


@pytest.mark.parametrize("name", ["mine/pinned-server", "x", 'quo"te\\d', "a/b.scenario.toml", "../", "—", "\x07"])
def test_template_parses_with_any_name(name: str) -> None:
    """The file that `ftps-lab new NAME` writes is valid unchanged."""
    scenario = parse(scenario_template(name), "f", "mine/x")
    assert scenario.title
    assert [step.expect.verdict for step in scenario.steps] == ["rejected", "accepted", "rejected", "rejected"]


def test_template_parses_with_its_comments_uncommented() -> None:
    text = scenario_template("x").replace('# issuer      = "self"', 'issuer      = "self"')
    for key in ("common_name", "names", "not_before", "not_after", "same_key_as", "ca", "tls", "require_tls"):
        text = text.replace(f"# {key} ", f"{key} ")
    for key in ("host", "run", "clock"):
        text = text.replace(f"# {key} ", f"{key} ")
    for line in ("[step.expect.classic]", "message", '[step.expect."4.8"]'):
        text = text.replace(f"# {line}", line)
    scenario = parse(text, "f", "mine/x")
    assert scenario.certificates["stranger"].same_key_as == "genuine"
    assert scenario.steps[1].clock == "+366d"
    assert set(scenario.steps[2].overrides) == {"classic", "4.8"}
