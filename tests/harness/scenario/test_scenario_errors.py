"""Every possible mistake in a scenario file is reported with its key and the correction."""

from __future__ import annotations

import pytest

from ftps_harness.errors import UsageError
from ftps_harness.scenario import ScenarioError, parse
from ftps_lab.attackers import ATTACKS

BASE = """
schema = 1
title = "t"
why = "w"
#top
[certificates.genuine]
#genuine
[certificates.other]
#other
[server]
certificate = "genuine"
#server
[[step]]
title = "one"
#step
[step.expect]
verdict = "accepted"
#expect
"""

REJECTED = 'verdict = "rejected"\nreason = "untrusted"'
LATER = "needs a later version of ftps-lab; remove it"


def with_line(place: str, line: str) -> str:
    """The base with a line inserted at a place; `old => new` replaces a line instead."""
    if "=>" in place:
        old, new = place.split("=>")
        assert old in BASE
        return BASE.replace(old, new)
    return BASE.replace(f"#{place}\n", f"{line}\n", 1)


def problems(text: str) -> list[tuple[str, str]]:
    with pytest.raises(ScenarioError) as caught:
        parse(text, "f.scenario.toml", "a/f")
    return [(problem.key, problem.sentence) for problem in caught.value.problems]


# place, line, key, parts of the sentence
TABLE: list[tuple[str, str, str, list[str]]] = [
    # Unknown keys, everywhere.
    ("top", "titel = 'x'", "titel", ["unknown key", 'Did you mean "title"?', '"why"']),
    ("genuine", "isuer = 'self'", "certificates.genuine.isuer", ["unknown key", 'Did you mean "issuer"?']),
    ("server", "protocoll = 'plain'", "server.protocoll", ["unknown key", 'Did you mean "protocol"?']),
    ("step", "hots = 'x'", "step[1].hots", ["unknown key", 'Did you mean "host"?']),
    ("step", "server = { tsl = ['1.2'] }", "step[1].server.tsl", ["unknown key", 'Did you mean "tls"?']),
    ("expect", "verdcit = 'x'", "step[1].expect.verdcit", ["unknown key", 'Did you mean "verdict"?']),
    ("expect", "[step.expect.clasic]\nmessage='x'", "step[1].expect.clasic", ['mean "classic"?', "version prefix"]),
    ("expect", "[step.expect.classic]\nmesage='x'", "step[1].expect.classic.mesage", ['Did you mean "message"?']),
    ("expect", "tls = '1.4'", "step[1].expect.tls", ['unknown value "1.4"', '"1.3"']),
    ("expect", "tls = []", "step[1].expect.tls", ["empty list"]),
    ("expect", "server_name = ['a', 'a']", "step[1].expect.server_name", ["twice"]),
    ("expect", "cipher = 'aes 256'", "step[1].expect.cipher", ["TLS_AES_256_GCM_SHA384"]),
    ('verdict = "accepted"=>verdict = "unreachable"\ntls = "1.3"', "", "step[1].expect.tls", ["an unreachable server"]),
    ("step", "server = { protocol = 'plain' }\n[step.expect.\"4\"]\ntls = '1.3'", "step[1].expect.4.tls", ["TLS"]),
    ("expect", '[step.expect."4.8"]\nx=1', 'step[1].expect."4.8".x', ["unknown key"]),
    ("top", '"a key" = 1', '"a key"', ["unknown key"]),
    # Wrong types.
    ('title = "t"=>title = 5', "", "title", ["must be a string, not a whole number (5)"]),
    ("top", "tags = 'document'", "tags", ["must be a list of strings, not a string"]),
    ("top", "tags = ['a', 2]", "tags[2]", ["must be a string, not a whole number (2)"]),
    ("top", "certificates.x = 5", "certificates.x", ["must be a table, not a whole number (5)"]),
    ("genuine", "key_ids = 1", "certificates.genuine.key_ids", ["must be true or false, not a whole number (1)"]),
    ("genuine", "path_length = true", "certificates.genuine.path_length", ["must be a whole number, not true"]),
    ("genuine", "path_length = 0.5", "certificates.genuine.path_length", ["not a number with a fraction (0.5)"]),
    ("genuine", "ca = 'yes'", "certificates.genuine.ca", ['unknown value "yes"', '"absent"']),
    ("genuine", "ca = 1", "certificates.genuine.ca", ['must be true or false or "absent"']),
    ("genuine", "key_usage = 5", "certificates.genuine.key_usage", ['must be "absent" or a list']),
    ("genuine", "names = 'localhost'", "certificates.genuine.names", ["must be a list of strings"]),
    ("step", "run = 'list'", "step[1].run", ["must be a list of strings, not a string"]),
    ("step", "files = ['x']", "step[1].files", ["must be a table, not a list"]),
    ("step", "files = { x = 5 }", "step[1].files.x", ["must be a string"]),
    ("step", "files = { 'a.crt' = 5 }", 'step[1].files."a.crt"', ["must be a string"]),
    ("step", "repeat = '10'", "step[1].repeat", ["must be a whole number, not a string"]),
    ("step", "rc = 2026-01-01", "step[1].rc", ["must be a string, not a date or time"]),
    ("step", "server = 'other'", "step[1].server", ["must be a table, not a string"]),
    ("expect", "classic = 'rejected'", "step[1].expect.classic", ["must be a table, not a string"]),
    ('[step.expect]\nverdict = "accepted"=>expect = "accepted"', "", "step[1].expect", ["must be a table"]),
    ("[[step]]=>[step]", "", "step", ["must be a list of tables, not a table", "[[step]]"]),
    ('[server]\ncertificate = "genuine"=>[[server]]', "", "server", ["must be a table, not a list"]),
    ('verdict = "accepted"=>verdict = {}', "", "step[1].expect.verdict", ["not a table"]),
    # Values that no list has.
    ("server", "protocol = 'explicite'", "server.protocol", ['Did you mean "explicit"?', '"implicit", "plain"']),
    ("server", "role = 'evil'", "server.role", ['"genuine", "impostor"']),
    ("server", "tls = ['1.4']", "server.tls[1]", ['unknown value "1.4"', '"1.2", "1.3"']),
    ("server", "tls = [1.2]", "server.tls[1]", ['must be "1.0" or "1.1"', "not a number"]),
    ("genuine", "key = 'rsa-1'", "certificates.genuine.key", ['"ec-p256"', '"rsa-4096"']),
    ("genuine", "key = 'ec-p265'", "certificates.genuine.key", ['Did you mean "ec-p256"?']),
    ("genuine", "signature = 'sha-1'", "certificates.genuine.signature", ['Did you mean "sha1"?']),
    ("genuine", "usage = 'serve'", "certificates.genuine.usage", ['Did you mean "server"?']),
    ("genuine", "key_usage = ['contentCommitment']", "certificates.genuine.key_usage[1]", ["nonRepudiation"]),
    ("step", "cwd = 'tmp'", "step[1].cwd", ['"lftp", "home", "elsewhere"']),
    ("step", "control = 'impostor'", "step[1].control", ['Did you mean "impostor-', '"none"']),
    ('"accepted"=>"acepted"', "", "step[1].expect.verdict", ['Did you mean "accepted"?', '"login-failed"']),
    ('"accepted"=>"inconclusive"', "", "step[1].expect.verdict", ["no scenario can expect it"]),
    ("expect", "otherwise = ['inconclusive']", "step[1].expect.otherwise[1]", ["no scenario can expect it"]),
    ("expect", "reason = 'untrustd'", "step[1].expect.reason", ['Did you mean "untrusted"?', '"tls-handshake"']),
    ("expect", "reason = ['expierd']", "step[1].expect.reason[1]", ['Did you mean "expired"?']),
    ("expect", "exposed = ['pasword']", "step[1].expect.exposed[1]", ['Did you mean "password"?']),
    ("expect", "to = ['me']", "step[1].expect.to[1]", ['"wire", "impostor"']),
    ("expect", "how_often = 'often'", "step[1].expect.how_often", ['"always", "sometimes"']),
    # The file as a whole.
    ("schema = 1=>", "", "schema", ["missing", '"schema = 1"']),
    ("schema = 1=>schema = 2", "", "schema", ["is 2", "reads schema = 1"]),
    ("schema = 1=>schema = true", "", "schema", ["is true"]),
    ("schema = 1=>schema = '1'", "", "schema", ['is "1"']),
    ("schema = 1=>schema = 1.0", "", "schema", ["is 1.0"]),
    ('title = "t"\n=>', "", "title", ["missing"]),
    ('title = "t"=>title = ""', "", "title", ["is empty"]),
    ('title = "t"=>title = "a\\nb"', "", "title", ["one line"]),
    ('why = "w"=>', "", "why", ["missing", "learner"]),
    ('why = "w"=>why = " "', "", "why", ["is empty"]),
    ("top", "tags = ['two words']", "tags", ['"two words"', "without blanks"]),
    ("top", "tags = ['a', 'a']", "tags", ["twice"]),
    ("top", "claim = 'Pin'", "claim", ['"Pin"', "lower-case letters"]),
    ("top", "claim = ''", "claim", ["not a valid claim id"]),
    ("top", 'claim = "a\\n"', "claim", ["not a valid claim id"]),
    ('[server]\ncertificate = "genuine"=>', "", "server", ["missing", "[server]"]),
    # References that lead nowhere.
    ('certificate = "genuine"=>certificate = "genuin"', "", "server.certificate", ['mean "genuine"?', '"other"']),
    ("server", "chain = ['root']", "server.chain", ['no certificate is named "root"', "[certificates.root]"]),
    ("server", "data_certificate = 'x'", "server.data_certificate", ['no certificate is named "x"']),
    ("step", "server = { certificate = 'x' }", "step[1].server.certificate", ['no certificate is named "x"']),
    ("step", "files = { x = 'cert:othr' }", "step[1].files.x", ['Did you mean "other"?']),
    ("step", "files = { x = 'cert:genuine + key:x' }", "step[1].files.x", ['no certificate is named "x"']),
    ("step", "rc = '{sha1:x}'", "step[1].rc", ["fingerprint", 'no certificate is named "x"']),
    ("step", "rc = '{sha256:}'", "step[1].rc", ['no certificate is named ""']),
    ("step", "rc = '{Host}'", "step[1].rc", ['mean "host"?', "write {{Host}} for the text {Host}"]),
    ("step", "rc = '{sha512:genuine}'", "step[1].rc", ['"{sha512:genuine}" is not a placeholder']),
    ("step", "run = ['ls', 'ls {prot}']", "step[1].run[2]", ['"{prot}" is not a placeholder', 'Did you mean "port"?']),
    ("step", "run = ['ls {sha1:x}']", "step[1].run[1]", ["fingerprint", 'no certificate is named "x"']),
    ("step", "files = { x = 'text:{user}{pass}' }", "step[1].files.x", ['"{pass}" is not a placeholder']),
    ("other", "issuer = 'genuin'", "certificates.other.issuer", ["'genuin'", 'Did you mean "genuine"?']),
    ("other", "same_key_as = 'genuin'", "certificates.other.same_key_as", ["'genuin'", 'Did you mean "genuine"?']),
    # Certificates.
    ("other", "same_key_as = 'genuine'\nkey = 'ed25519'", "certificates.other.key", ["remove one of them"]),
    ("other", "same_key_as = 'other'", "certificates.other.same_key_as", ["the references form a loop"]),
    ("other", "issuer = 'other'", "certificates.other.issuer", ["the chain of issuers is a loop"]),
    ("other", "issuer = 'genuine'\npath_length = 0", "certificates.other.path_length", ["ca = true"]),
    ("other", "ca = false\npath_length = 0", "certificates.other.path_length", ["ca = true"]),
    ("other", "path_length = -1", "certificates.other.path_length", ["-1"]),
    ("other", "not_after = 'tomorrow'", "certificates.other.not_after", ["'tomorrow'", "+365d"]),
    ("other", "not_after = '365d'", "certificates.other.not_after", ["'365d'", "+365d"]),
    ("other", "not_after = '+365y'", "certificates.other.not_after", ["+365d"]),
    ("other", "not_before = 2026-01-01", "certificates.other.not_before", ["RFC 3339"]),
    ("other", "not_before = 2026-01-01T00:00:00", "certificates.other.not_before", ["RFC 3339"]),
    ("other", "not_before = '2026-02-30T00:00:00Z'", "certificates.other.not_before", ["not a valid date and time"]),
    ("other", "not_after = '-2d'", "certificates.other.not_after", ["before not_before"]),
    ("other", "names = ['local host']", "certificates.other.names", ["neither a DNS name"]),
    ("other", "names = ['1.2.3.400']", "certificates.other.names", ["neither a DNS name"]),
    ("other", "names = ['a.*.test']", "certificates.other.names", ["neither a DNS name"]),
    ("other", "names = ['bücher.test']", "certificates.other.names", ["xn--"]),
    ("other", f"common_name = '{'x' * 65}'", "certificates.other.common_name", ["65"]),
    ("other", "key_usage = []", "certificates.other.key_usage", ["absent"]),
    ("other", "key_usage = ['encipherOnly']", "certificates.other.key_usage", ["keyAgreement"]),
    ("other", "key = 'ed25519'\nsignature = 'md5'", "certificates.other.signature", ["ed25519"]),
    ("other", "[certificates.'a b']", 'certificates."a b"', ["letters, digits"]),
    # The server.
    ('certificate = "genuine"=>', "", "server.certificate", ["missing", "explicit"]),
    ("server", "protocol = 'plain'\nrequire_tls = true", "server.require_tls", ["no TLS to require"]),
    ("server", "tls = []", "server.tls", ["offers no version"]),
    ("server", "tls = ['1.2', '1.2']", "server.tls", ["twice"]),
    ("step", "server = {}", "step[1].server", ["is empty"]),
    ("step", "server = { tls = [] }", "step[1].server.tls", ["offers no version"]),
    # Keys of later versions.
    ("server", "attack = 'inter'", "server.attack", ['Did you mean "intercept"?']),
    ("server", "attack_certificate = 'other'", "server.attack_certificate", ['only valid with the attack "intercept"']),
    ("server", "attack_reply = 502", "server.attack_reply", ['"refuse-auth" or "refuse-prot" or "strip-auth"']),
    ("server", "attack_how = 'alert'", "server.attack_how", ['only valid with the attack "break-handshake"']),
    ("server", "attack = 'intercept'\nattack_reply = 502", "server.attack_reply", ['the attack here is "intercept"']),
    ("server", "attack = 'intercept'\nattack_certificate = 'x'", "server.attack_certificate", ['named "x"']),
    ("server", "attack = 'refuse-auth'\nattack_reply = 234", "server.attack_reply", ["from 400 to 599"]),
    ("server", "attack = 'refuse-auth'\nattack_reply = 600", "server.attack_reply", ["from 400 to 599"]),
    ("server", "attack = 'refuse-auth'\nattack_reply = '502'", "server.attack_reply", ["a whole number"]),
    ("server", "attack = 'break-handshake'\nattack_how = 'rst'", "server.attack_how", ['"close"']),
    ("server", "attack = 'refuse-auth'\nrequire_tls = true", "server.require_tls", ["refuses AUTH"]),
    ("server", "attack = 'intercept'\nrole = 'impostor'", "server.attack", ["needs the genuine server behind it"]),
    ("server", "attack = 'clear-data'\nprotocol = 'plain'", "server.attack", ["a plain server has none"]),
    ("server", "attack = 'strip-auth'\nprotocol = 'implicit'", "server.attack", ["implicit FTPS does not use"]),
    *(
        ("server", f"attack = '{name}'\ndata_certificate = 'other'", "server.data_certificate", [f'"{name}"'])
        for name, attack in ATTACKS.items()
        if attack.data_tls != "server"
    ),
    ("server", "revoked = ['other']", "server.revoked", [LATER]),
    ("step", "server = { attack_how = 'text' }", "step[1].server.attack_how", ['attack "break-handshake"']),
    ("step", "server = { attack = 'strip-auth', attack_reply = 99 }", "step[1].server.attack_reply", ["from 400"]),
    ("step", "server = { revoked = ['other'] }", "step[1].server.revoked", [LATER]),
    ("step", "files = { x = 'crl:genuine' }", "step[1].files.x", [f'"crl:genuine" {LATER}']),
    # Steps.
    ('title = "one"=>', "", "step[1].title", ["missing"]),
    ('title = "one"=>title = ""', "", "step[1].title", ["is empty"]),
    ("expect", '[[step]]\ntitle = "one"\nexpect.verdict = "failed"', "step[2].title", ["step[1]", "change one"]),
    ("step", "host = ''", "step[1].host", ["neither a host name nor an IP address"]),
    ("step", "host = '*.example.test'", "step[1].host", ["neither a host name"]),
    ("step", "host = 'ftp://localhost'", "step[1].host", ["neither a host name"]),
    ("step", "host = 'localhost:21'", "step[1].host", ["neither a host name"]),
    ("step", "host = '999.1.1.1'", "step[1].host", ["neither a host name"]),
    ("step", 'host = "a\\n"', "step[1].host", ["neither a host name"]),
    ("step", "user = ''", "step[1].user", ["is empty"]),
    ("step", 'user = "a\\r\\nDELE x"', "step[1].user", ["line end"]),
    ("step", "password = ''", "step[1].password", ["is empty"]),
    ("server", "user = ''", "server.user", ["is empty"]),
    ("server", 'password = "a\\nb"', "server.password", ["line end or NUL"]),
    ("server", "user = 'anonymous'", "server.user", ["the server accepts anonymous anyway"]),
    ("step", "server = { password = '' }", "step[1].server.password", ["is empty"]),
    ("step", 'password = "a\\nb"', "step[1].password", ["line end"]),
    ("step", "files = { '/etc/x' = 'text:' }", 'step[1].files."/etc/x"', ["not a file name"]),
    ("step", "files = { '../x' = 'text:' }", 'step[1].files."../x"', ["not a file name"]),
    ("step", "files = { '..' = 'text:' }", 'step[1].files.".."', ["not a file name"]),
    ("step", "files = { 'cwd/..' = 'text:' }", 'step[1].files."cwd/.."', ["not a file name"]),
    ("step", "files = { 'a/b' = 'text:' }", 'step[1].files."a/b"', ["not a file name", "cwd/NAME"]),
    ("step", "files = { '' = 'text:' }", 'step[1].files.""', ["not a file name"]),
    ("step", 'files = { "a\\n" = "text:" }', 'step[1].files."a\\u000A"', ["not a file name"]),
    ("step", "files = { rc = 'text:x' }", "step[1].files.rc", ["with the key rc"]),
    ("step", "cwd = 'lftp'\nfiles = { 'cwd/rc' = 'text:x' }", 'step[1].files."cwd/rc"', ["with the key rc"]),
    ("step", "files = { 'cwd/.lftp' = 'text:x' }", 'step[1].files."cwd/.lftp"', ["makes that folder for every step"]),
    ("step", "cwd = 'lftp'\nfiles = { 'cwd/a' = 'text:', a = 'text:' }", 'step[1].files."cwd/a"', ["the same file"]),
    ("step", "files = { x = '' }", "step[1].files.x", ["not a source", "cert:NAME"]),
    ("step", "files = { x = 'genuine' }", "step[1].files.x", ['Did you mean "cert:genuine"?']),
    ("step", "files = { x = 'crt:genuine' }", "step[1].files.x", ['Did you mean "cert"?', "text:"]),
    ("step", "files = { x = 'served:genuine' }", "step[1].files.x", ['Did you mean "served"?']),
    ("step", "files = { x = 'cert:genuine+cert:other' }", "step[1].files.x", ["no certificate is named"]),
    ("step", "server = {protocol='plain'}\nfiles = { x = 'served' }", "step[1].files.x", ["plain server shows no"]),
    ("step", "run = []", "step[1].run", ["is empty"]),
    ("step", "run = ['']", "step[1].run[1]", ["is empty"]),
    ("step", "run = ['open localhost']", "step[1].run", ["never connects"]),
    ("step", "run = ['list', 'quit']", "step[1].run[2]", ["ends lftp"]),
    ("step", "clock = '366d'", "step[1].clock", ['"366d"', "+366d"]),
    ("step", "clock = '+1y'", "step[1].clock", ["+366d"]),
    ("step", "clock = '+999999999d'", "step[1].clock", ["too far"]),
    ("step", "clock = '2027-01-01T00:00:00Z'", "step[1].clock", ["+366d"]),
    ("step", "repeat = 0", "step[1].repeat", ["from 1 to 1000, not 0"]),
    ("step", "repeat = 1001", "step[1].repeat", ["from 1 to 1000"]),
    # Controls.
    ("step", "control = 'none'", "step[1].why_no_control", ["missing"]),
    ("step", "control = 'none'\nwhy_no_control = ' '", "step[1].why_no_control", ["missing"]),
    ("step", "why_no_control = 'x'", "step[1].why_no_control", ['control = "none"']),
    ("step", "control = 'impostor-refused'\nwhy_no_control = 'x'", "step[1].why_no_control", ['control = "none"']),
    ('verdict = "accepted"=>verdict = "rejected"\nreason = "tls-handshake"', "", "step[1].control", ["why_no_control"]),
    ('verdict = "accepted"=>verdict = "rejected"\nreason = ["weak", "tls-required"]', "", "step[1].control", ["none"]),
    # Expectations.
    ('[step.expect]\nverdict = "accepted"=>', "", "step[1].expect", ["missing", "verdict"]),
    ('verdict = "accepted"=>', "", "step[1].expect.verdict", ["missing"]),
    ('verdict = "accepted"=>verdict = "rejected"', "", "step[1].expect.reason", ["missing", '"untrusted"']),
    ("expect", "reason = 'untrusted'", "step[1].expect.reason", ['"rejected"', '"accepted"']),
    ("expect", "exposed = ['password']", "step[1].expect.exposed", ['"exposed"', '"accepted"']),
    ("expect", "to = ['wire']", "step[1].expect.to", ['"exposed"', '"accepted"']),
    ('verdict = "accepted"=>verdict = "exposed"\nexposed = []', "", "step[1].expect.exposed", ["empty list"]),
    ('verdict = "accepted"=>verdict = "exposed"\nto = ["wire", "wire"]', "", "step[1].expect.to", ["twice"]),
    ("expect", "message = ''", "step[1].expect.message", ["is empty"]),
    ("expect", 'message = "a\\nb"', "step[1].expect.message", ["line end"]),
    ("expect", "otherwise = ['rejected']", "step[1].expect.otherwise", ['how_often = "sometimes"']),
    ("expect", "how_often = 'sometimes'\notherwise = ['rejected']", "step[1].expect.how_often", ["repeat = 10"]),
    # Overrides.
    ("expect", "[step.expect.classic]", "step[1].expect.classic", ["is empty"]),
    ("expect", "[step.expect.classic]\nverdict = 'rejected'", "step[1].expect.classic.reason", ["missing"]),
    ("expect", "[step.expect.classic]\nreason = 'untrusted'", "step[1].expect.classic.reason", ['"accepted"']),
    ("expect", "[step.expect.classic]\nmessage = ''", "step[1].expect.classic.message", ["is empty"]),
    ("expect", "[step.expect.4.8]\nmessage = 'x'", "step[1].expect.4", ["needs quotes", '"4.8"']),
    ("expect", "[step.expect.'v4.8']\nmessage = 'x'", 'step[1].expect."v4.8"', ["version prefix"]),
]  # fmt: skip


@pytest.mark.parametrize(("place", "line", "key", "parts"), TABLE)
def test_mistake_is_reported_with_its_key_and_correction(place: str, line: str, key: str, parts: list[str]) -> None:
    """Exactly one problem is reported, in one line."""
    found = problems(with_line(place, line))
    assert [where for where, _ in found] == [key]
    ((_, sentence),) = found
    assert all(part in sentence for part in parts), sentence
    assert "\n" not in sentence


def test_base_without_a_mistake_parses() -> None:
    """Otherwise the table would prove nothing."""
    assert parse(BASE, "f", "a/f").title == "t"


MAY_BE_REJECTED = 'how_often = "sometimes"\notherwise = ["rejected"]'


@pytest.mark.parametrize(
    ("step", "expect", "key", "part"),
    [
        ("repeat = 3", 'how_often = "sometimes"', "step[1].expect.otherwise", "missing"),
        ("repeat = 3\nat_least = 2", 'how_often = "always"', "step[1].at_least", 'expected "sometimes"'),
        ("repeat = 3\nat_least = 3", MAY_BE_REJECTED, "step[1].at_least", "less than repeat (3), not 3"),
        ("repeat = 3\nat_least = 0", MAY_BE_REJECTED, "step[1].at_least", "must be from 1"),
        (
            "repeat = 3",
            'how_often = "sometimes"\notherwise = ["accepted"]',
            "step[1].expect.otherwise",
            "already the expected verdict",
        ),
        ('control = "impostor-refused"', REJECTED, "step[1].control", 'tests the verdict "accepted"'),
        ('control = "impostor-accepted"', 'verdict = "exposed"', "step[1].control", 'tests the verdict "accepted"'),
    ],
)
def test_step_that_contradicts_its_expectation_is_an_error(step: str, expect: str, key: str, part: str) -> None:
    text = BASE.replace("#step", step)
    accepted = 'verdict = "accepted"'
    text = text.replace(accepted, expect if "verdict" in expect else f"{accepted}\n{expect}")
    ((where, sentence),) = problems(text)
    assert where == key
    assert part in sentence


def test_scenario_without_steps_is_an_error() -> None:
    """The table is missing, or the list is empty."""
    head = BASE[: BASE.index("[[step]]")]
    assert problems(head) == [("step", "missing: a scenario needs at least one [[step]] table")]
    ((key, sentence),) = problems("step = []\n" + head)
    assert key == "step"
    assert "at least one" in sentence


@pytest.mark.parametrize("leaf", ["issuer", "same_key_as"])
def test_cycle_of_certificates_is_reported_for_each(leaf: str) -> None:
    """Every certificate of the cycle is named."""
    text = BASE.replace("#genuine\n", f"{leaf} = 'other'\n").replace("#other\n", f"{leaf} = 'genuine'\n")
    assert [key for key, _ in problems(text)] == [f"certificates.genuine.{leaf}", f"certificates.other.{leaf}"]


def test_certificate_named_self_is_an_error() -> None:
    found = problems(BASE.replace("#other", "[certificates.self]"))
    assert [key for key, _ in found] == ["certificates.self.issuer"]


def test_server_mistake_is_reported_where_it_first_appears() -> None:
    """Steps that only inherit it are not reported."""
    steps = BASE.replace("#expect", '[[step]]\ntitle = "two"\nserver = { tls = [] }\nexpect.verdict = "failed"\n')
    steps += '[[step]]\ntitle = "three"\nserver = { role = "impostor" }\nexpect.verdict = "failed"\n'
    assert [key for key, _ in problems(steps)] == ["step[2].server.tls"]
    everywhere = steps.replace("#server", "tls = []")
    assert [key for key, _ in problems(everywhere)] == ["server.tls"]


def test_version_override_must_agree_with_dialect_overrides() -> None:
    """A build with that dialect and version gets both; the sentence names the builds."""
    text = BASE.replace('verdict = "accepted"', REJECTED).replace(
        "#expect", '[step.expect.openssl]\nverdict = "accepted"\n[step.expect."4.8"]\nreason = "expired"\n'
    )
    ((key, sentence),) = problems(text)
    assert key == 'step[1].expect."4.8".reason'
    assert "for openssl builds" in sentence


def test_control_needed_by_one_dialect_is_accepted() -> None:
    """One dialect accepts, so the impostor must be refused there."""
    text = BASE.replace('verdict = "accepted"', REJECTED).replace("#step", 'control = "impostor-refused"')
    scenario = parse(text.replace("#expect", '[step.expect.classic]\nverdict = "accepted"\n'), "f", "a/f")
    assert scenario.steps[0].control == "impostor-refused"


def test_all_problems_are_reported_at_once() -> None:
    """First all type errors, then all errors of meaning; one line each, in the order of the file."""
    types = BASE.replace("#top", "titel = 1").replace("#server", "revoked = ['x']").replace("#expect", "x = 1")
    assert [key for key, _ in problems(types)] == ["server.revoked", "titel", "step[1].expect.x"]
    meaning = (
        BASE.replace("#other", "issuer = 'x'")
        .replace("#server", "tls = []\nattack_reply = 1")
        .replace("#step", "host = ''\nrun = []")
        .replace("#expect", "reason = 'expired'")
    )
    with pytest.raises(ScenarioError) as caught:
        parse(meaning, "f.scenario.toml", "a/f")
    error = caught.value
    assert [problem.key for problem in error.problems] == [
        "certificates.other.issuer",
        "server.attack_reply",
        "server.tls",
        "step[1].host",
        "step[1].run",
        "step[1].expect.reason",
    ]
    lines = str(error).splitlines()
    assert lines == [f"f.scenario.toml: {key}: {sentence}" for key, sentence in error.problems]


def test_scenario_error_is_a_usage_error_with_file_and_key() -> None:
    """Exit code 2; the error holds file, key and sentence of the first problem."""
    with pytest.raises(UsageError) as caught:
        parse(BASE.replace('why = "w"', "why = ''"), "f.scenario.toml", "a/f")
    error = caught.value
    assert isinstance(error, ScenarioError)
    assert (error.file, error.key) == ("f.scenario.toml", "why")
    assert str(error) == f"f.scenario.toml: why: {error.sentence}"


def test_values_in_messages_are_escaped_and_shortened() -> None:
    ((_, sentence),) = problems(BASE.replace("#step", 'host = "\\u001b[2J' + "x" * 500 + '"'))
    assert "\x1b" not in sentence
    assert len(sentence) < 160


ACCEPTED = [
    ("genuine", "not_before = '2026-01-01t00:00:00.5z'"),
    ("genuine", "not_before = 2026-01-01 00:00:00+02:00"),
    ("genuine", "ca = true\npath_length = 0"),
    ("genuine", "path_length = 0"),
    ("genuine", "names = ['*.example.test', 'f*.example.test', '_x.test', '127.0.0.1', '::1', 'xn--bcher-kva.test']"),
    ("other", "issuer = 'genuine'"),
    ("other", "same_key_as = 'genuine'"),
    ("server", "chain = ['other', 'genuine', 'other']"),
    ("server", "attack = 'none'\nrevoked = []"),
    ("server", "attack = 'intercept'\ndata_certificate = 'genuine'"),
    ("server", "attack = 'inject-before-tls'\ndata_certificate = 'other'"),
    ("server", "tls = ['1.0', '1.3']"),
    ("step", "user = 'anonymous'\npassword = 'x y'"),
    ("step", "password = 'alone'"),
    ("step", "host = '127.0.0.1'"),
    ("step", "host = '::1'"),
    ("step", "host = 'FTP.Example.test'"),
    ("step", "rc = ''"),
    ("step", "rc = '{{x}} {{sha1}} {{sha512:x}} {{ } {lftp} { x } {x,y} ${x} {\"x\":1}'"),
    ("step", "run = ['mget {a,b}.txt; !awk {{print}}', 'source {lftp}/{host}-{port}-{user}-{sha1:other}']"),
    ("step", "files = { x = 'text:machine {host} login {user} password {password}' }"),
    ("step", """user = "it's \\"me\\" #1, $HOME/\u00fc\\\\" """),
    ("server", "user = 'SITE\\$site'\npassword = '  '"),
    ("step", "files = { 'cwd/mycert.crt' = 'cert:other', 'mycert.crt' = 'cert:genuine' }"),
    ("step", "files = { 'cwd/rc' = 'text:' }"),
    ("step", "files = { x = 'text:', y = '  cert:genuine  +  cert:other  ' }"),
    ("step", "clock = '-90m'\nrepeat = 1000"),
    ("step", "control = 'impostor-accepted'"),
    ("step", "control = 'none'\nwhy_no_control = 'x'"),
    ("expect", "message = \"requested host name 'x'\"\nhow_often = 'always'"),
    ("expect", "[step.expect.\"4\"]\nverdict = 'hung'"),
]


@pytest.mark.parametrize(("place", "line"), ACCEPTED)
def test_unusual_but_valid_values_are_accepted(place: str, line: str) -> None:
    assert parse(with_line(place, line), "f", "a/f").id == "a/f"
