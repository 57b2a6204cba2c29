"""Checks a tool's changes to an existing rc."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ftps_harness.pinning.certificates import HOST, OTHER, SIMILAR, own
from ftps_harness.pinning.rig import write

if TYPE_CHECKING:
    from collections.abc import Callable

    from ftps_harness.pinning.record import Ran
    from ftps_harness.pinning.rig import Rig
    from ftps_harness.sandbox.home import Home
    from ftps_lab.certificates import Certificate

_ORDINARY: Final = b"# mine\nset net:timeout 20\n\n  # indented\nset xfer:clobber on   \n\talias ll cls -l\n"

_SEEDS: Final = {
    "comments, blanks and aliases": _ORDINARY,
    "no final newline": _ORDINARY.rstrip(b"\n"),
    "lines that end in CRLF": _ORDINARY.replace(b"\n", b"\r\n"),
    "a byte-order mark": b"\xef\xbb\xbf" + _ORDINARY,
    "bytes that are not UTF-8": b"# caf\xe9 \xff\xfe\n" + _ORDINARY,
    "10,000 lines": b"".join(b"# line %d\n" % number for number in range(10_000)) + _ORDINARY,
}


def rc_preserved(rig: Rig) -> None:
    """Expect that each rc is still there, byte for byte, around the tool's additions."""
    certificate = own()
    for what, seed in rig.cases(_SEEDS.items()):
        home = rig.home({".lftp/rc": seed})
        rig.serve(certificate)
        ran = rig.pin(home)
        refused = not ran.ok and ran.untouched and bool(ran.output.strip())
        kept = _kept(seed, ran.after.files().get("~/.lftp/rc", b""))
        rig.expect(kept, f"every byte of an rc with {what} survives", "bytes are missing: see the diff")
        if seed == _ORDINARY or not refused:
            rig.expect(ran.ok, f"exit code 0 with {what}", ran.ended)
            rig.protects(home, certificate, called=f"the genuine server, with an rc that has {what}")


def _kept(old: bytes, new: bytes) -> bool:
    """Whether every old line is in the new text, in order; the last may have gained a line ending."""
    lines, left = new.splitlines(keepends=True), old.splitlines(keepends=True)
    if left and not left[-1].endswith(b"\n"):
        left[-1] += b"\n"
        lines = [*lines[:-1], lines[-1] + (b"" if lines[-1].endswith(b"\n") else b"\n")] if lines else []
    wanted = iter(lines)
    return all(any(line == other for other in wanted) for line in left)


def idempotent(rig: Rig) -> None:
    """Run the tool twice, with an empty HOME and with an rc."""
    certificate = own()
    for seed in rig.cases(({}, {".lftp/rc": _ORDINARY})):
        home = rig.pinned(certificate, seed)
        ran = rig.pin(home)
        rig.expect(ran.ok, "exit code 0 for a second run", ran.ended)
        rig.expect(ran.untouched, "a second run changes nothing", ran.changed)


def two_hosts(rig: Rig) -> None:
    """Pin two hosts in turn, and a host after others with almost the same name."""
    first, second = own(HOST), own(OTHER)
    home = rig.pinned(first)
    rig.serve(second, host=OTHER)
    ran = rig.pin(home, OTHER)
    rig.expect(ran.ok, "exit code 0 for a second host", ran.ended)
    rig.protects(home, first, called=f"{HOST}, pinned first")
    rig.protects(home, second, host=OTHER, called=f"{OTHER}, pinned second")
    home, pinned = rig.home(), {}
    for host in (*rig.cases(SIMILAR), HOST):
        pinned[host] = own(host)
        rig.serve(pinned[host], host=host)
        ran = rig.pin(home, host)
        rig.expect(ran.ok, f"exit code 0 for {host} after {', '.join(pinned)}", ran.ended)
    for host, certificate in pinned.items():
        rig.protects(home, certificate, host=host, called=f"{host}, pinned with similar names")


def opposing_lines(rig: Rig) -> None:
    """Try lines that undo a pin, everywhere that lftp reads them, and the tool's own lines commented out."""
    certificate = own()
    for what, files in rig.cases(_OPPOSING.items()):
        home = rig.home(files)
        rig.serve(certificate)
        _undone_or_reported(rig, home, certificate, rig.pin(home), what)
    for what, changed in _EDITS.items():
        home = rig.pinned(certificate)
        found = home.home / _rc_of(rig, home)
        write(found, changed(found.read_bytes()))
        _undone_or_reported(rig, home, certificate, rig.pin(home), what)
    home = rig.home({".config/lftp/rc": b"set net:timeout 77\n"})
    rig.serve(certificate)
    ran = rig.pin(home)
    if ran.ok:
        timeout = rig.settings(home, "net:timeout").get("net:timeout", {}).get("")
        rig.expect(
            timeout == "77", "lftp still reads ~/.config/lftp/rc", f"net:timeout is {timeout}, not 77: ~/.lftp hides it"
        )
        rig.accepts(home, certificate, run=("list",), called="the genuine server, with an existing ~/.config/lftp/rc")
    else:
        rig.expect(bool(ran.output.strip()), "a message that names ~/.config/lftp/rc", "it printed nothing")


_OFF: Final = b"set ssl:verify-certificate no\n"
_OFF_HERE: Final = f"set ssl:verify-certificate/{HOST} no\n".encode()

_OPPOSING: Final = {
    **{
        f"~/{path} switches verification off{whom}": {path: line}
        for path in (".lftprc", ".lftp/rc", ".config/lftp/rc")
        for line, whom in ((_OFF, ""), (_OFF_HERE, " for this host"))
    },
    "a file that ~/.lftp/rc sources switches verification off": {
        ".lftp/rc": b"source ~/.lftp/more\n",
        ".lftp/more": _OFF,
    },
    "~/.lftp/rc switches TLS off": {".lftp/rc": b"set ftp:ssl-allow no\n"},
}
"""Existing files before the tool runs that work against a pin."""


def _commented(rc: bytes) -> bytes:
    return re.sub(rb"(?m)^(?=[ \t]*set\b)", b"# ", rc)


_EDITS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "a line after the tool's own switches verification off": lambda rc: rc + _OFF,
    "a line after the tool's own switches verification off for this host": lambda rc: rc + _OFF_HERE,
    "a line after the tool's own removes the pin": lambda rc: (
        rc + b'set ssl:ca-file "/nowhere"\n' + b"set ssl:verify-certificate/* yes\n"
    ),
    "the tool's own lines are commented out": _commented,
}


def _rc_of(rig: Rig, home: Home) -> str:
    """The rc that the tool wrote to, by its path below HOME."""
    files = rig.snapshot(home).files()
    return next((name for name in (".lftp/rc", ".config/lftp/rc", ".lftprc") if f"~/{name}" in files), ".lftp/rc")


def _undone_or_reported(rig: Rig, home: Home, certificate: Certificate, ran: Ran, what: str) -> None:
    """Expect that the tool corrected the problem if it exited with 0, and otherwise said why it did not."""
    if not ran.ok:
        rig.expect(bool(ran.output.strip()), f"a message that says why: {what}", "it printed nothing")
        return
    rig.protects(home, certificate, called=f"the genuine server, after: {what}")
