"""The text of `ftps-lab new NAME`: a commented scenario file to start from, which runs unchanged."""

from __future__ import annotations

_TEMPLATE = """\
# A scenario: servers with exactly one thing wrong, the real lftp with a real rc, and the expected results.
# Run it:         ftps-lab run FILE
# Mistakes:       ftps-lab reports every mistake in this file with its key before it runs anything.
schema = 1

title = @TITLE@
why   = \"\"\"
For a learner: what is at stake, and what to look at. Here: lftp trusts a pinned certificate, refuses an impostor \\
that shows another certificate of the same name, and does not let an on-path attacker strip TLS.\"\"\"
tags  = ["mine"]                     # words of your choice, for `ftps-lab run --tag mine`

# --- Certificates: any number, each with a name. An empty table is a self-signed certificate for localhost. ------

[certificates.genuine]

[certificates.stranger]              # the same in every field, but with another key
# issuer      = "self"               # or the name of another certificate here
# common_name = "localhost"
# names       = ["localhost"]        # DNS names and IP addresses; [] leaves them out
# not_before  = "-1d"                # relative to now (s, m, h, d), or 2027-01-31T12:00:00Z
# not_after   = "+365d"              # "-1h" makes an expired one
# key         = "ec-p256"            # ec-p384 ec-p521 ed25519 rsa-1024 rsa-2048 rsa-4096
# same_key_as = "genuine"            # instead of key: a renewal with the same key
# ca          = true                 # false, or "absent"

# --- The server at the first step. -------------------------------------------------------------------------------

[server]
protocol    = "explicit"             # AUTH TLS; or "implicit", or "plain"
certificate = "genuine"
# tls         = ["1.2", "1.3"]
# require_tls = true                 # refuses USER before TLS

# --- Steps: each is one run of lftp. HOME persists from step to step: files adds to it, rc replaces the rc. --------

[[step]]
title = "without a pin, a self-signed certificate is refused"
rc    = ""
[step.expect]
verdict = "rejected"                 # accepted, rejected, exposed, login-failed, …
reason  = "untrusted"                # a refusal is recognized by its reason, never by an exit code

[[step]]
title = "pinned, the genuine server is trusted"
files = { "mycert.crt" = "cert:genuine" }  # goes into ~/.lftp; also key:NAME, chain:NAME, der:NAME, served, text:…
rc    = '''
set ssl:ca-file "{lftp}/mycert.crt"
set ftp:ssl-force yes
set ftp:ssl-protect-data yes
'''
# rc_file = "backup.rc"              # instead of rc: your own file, tested unchanged
# host   = "ftp.example.test"        # what the user types; every name leads to the lab
# user   = "backup"                  # and password: the right ones, unless the step expects login-failed
# run    = ["list", "get", "put"]    # default: list and get; also "mirror", or lftp's own commands
# clock  = "+366d"                   # lftp runs at another time
[step.expect]
verdict = "accepted"

[[step]]
title  = "pinned, an impostor is refused"
server = { certificate = "stranger", role = "impostor" }   # what changes before this step
[step.expect]
verdict = "rejected"
reason  = "untrusted"
# [step.expect.classic]              # what differs for one kind of build (classic, status, openssl)
# message = "Not trusted"
# [step.expect."4.8"]                # … or for one version
# message = "Not trusted"

[[step]]
title  = "TLS is stripped: nothing leaks"  # with a pin alone, everything would
server = { certificate = "genuine", role = "genuine", attack = "strip-auth" }
[step.expect]
verdict = "rejected"
reason  = "tls-required"
"""


def scenario_template(name: str) -> str:
    """The text of a new scenario file; it parses, and passes on every lftp measured.

    Args:
        name: The argument of `ftps-lab new`, such as ``mine/pinned-server``; its last part becomes the title.
    """
    words = name.rstrip("/").rpartition("/")[2].removesuffix(".scenario.toml").replace("-", " ").replace("_", " ")
    title = "".join(letter for letter in words if letter.isprintable()).strip() or "what this shows"
    quoted = title.replace("\\", "\\\\").replace('"', '\\"')
    return _TEMPLATE.replace("@TITLE@", f'"{quoted[:1].upper()}{quoted[1:]}"')
