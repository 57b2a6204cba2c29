"""ProFTPD 1.3.8 with mod_tls: its configuration, and its log read line by line.

It runs as the owner of the served folder; mod_vroot makes that folder its users' root without chroot(2). All its logs
go into one file, so that the lines are in the order of the events: one line for each command, on completion. Each
control connection has its own process (`ftps_lab.daemons.inetd`), and each `write` creates new files, so that a session
keeps its own.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import ec

from ftps_lab.daemons.daemon import ACCOUNT, Daemon, Needs, crypted
from ftps_lab.daemons.inetd import Inetd
from ftps_lab.daemons.log import Answered, Asked, Began, Event, Moved, Secured, Strange
from ftps_lab.testimony import TRANSFERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ftps_lab.interface import ServerSpec

_FIELD = "\x1f"
_FORMAT = _FIELD.join(("lab", "%P", "%a", "%m", "%J", "%s", "%S", "%b", "%f"))

_ACCEPTED = re.compile(
    r"[-\d]+ [:,\d]+ mod_tls/[\d.]+\[(?P<pid>\d+)\]: "
    r"(?P<version>\S+) (?P<data>data )?connection accepted, using cipher (?P<cipher>\S+) .*"
)
_REMARK = re.compile(r"[-\d]+ [:,\d]+ (?:mod_tls/[\d.]+|\S+ proftpd)\[\d+\]|  \(\d+\) error:")
_WITH_DATA = frozenset({"226", "250", "426", "451", "452", "552"})

_CONF = """\
LoadModule mod_tls.c
LoadModule mod_vroot.c
ServerName lab
ServerType inetd
DefaultServer on
SocketBindTight on
DefaultAddress {address}
Port {port}
MasqueradeAddress {outward}
PassivePorts {first} {last}
AllowForeignAddress on
UseIPv6 off
UseReverseDNS off
User {account}
Group {account}
ControlsEngine off
Umask 022
ScoreboardFile none
DelayEngine off
TimesGMT on
TimeoutLinger 0
WtmpLog off
TransferLog none
RequireValidShell off
RootLogin on
AuthOrder mod_auth_file.c
AuthUserFile {folder}/passwd
AuthGroupFile {folder}/group
VRootEngine on
DefaultRoot {root}
AllowOverwrite on
AllowRetrieveRestart on
AllowStoreRestart on
SystemLog {log}
LogFormat lab "{format}"
ExtendedLog {log} ALL,EXIT lab
<Anonymous {root}>
  User {account}
  Group {account}
  UserAlias anonymous {account}
  UserAlias ftp {account}
  AnonRequirePassword off
  RequireValidShell off
</Anonymous>
<Limit PORT EPRT>
  DenyAll
</Limit>
"""

_TLS = """\
TLSEngine on
TLSLog {log}
TLSRequired {required}
TLSProtocol {versions}
TLSCipherSuite {ciphers}
TLSVerifyClient off
TLSRenegotiate none
TLSOptions {options}
{certificate} {folder}/certificate.pem
"""


class ProFtpd(Daemon):
    """ProFTPD."""

    binary = "proftpd"
    needs = Needs(user="")
    anonymous = True
    has_gaps = True
    leaves_out = 1  # LANG is in no class of ExtendedLog, and neither are unknown commands
    last_words = re.compile(rb"421 TLS handshake failed\r\n\Z")

    _number = 0

    def argv(self) -> list[str]:
        """The command line."""
        return [self.path(), "-q", "-c", str(self.files / "proftpd.conf")]

    def run(self) -> Inetd:
        """Start accepting on its behalf."""
        return Inetd(self)

    def write(self, spec: ServerSpec) -> None:
        """Write its files into a folder that no session uses yet."""
        self._number += 1
        self.files = self.folder / str(self._number)
        self.files.mkdir()
        self.write_common(spec)
        self.write_accounts()
        uid, gid = self.owner
        secret = crypted(self.password)
        self.put(
            "passwd",
            "".join(f"{n}:{secret}:{uid}:{gid}::{self.root}:/bin/sh\n" for n in self.users)
            + f"{ACCOUNT}:*:{uid}:{gid}::{self.root}:/bin/sh\n",
        )
        self.put("group", f"{ACCOUNT}:x:{gid}:\n")
        conf = _CONF.format(
            address=self.address[0],
            port=self.address[1],
            outward=self.outward,
            first=self.passive.start,
            last=self.passive.stop - 1,
            account=ACCOUNT,
            folder=self.files,
            root=self.root,
            log=self.log,
            format=_FORMAT,
        )
        self.put("proftpd.conf", conf + ("" if spec.protocol == "plain" else self._tls(spec)))

    def _tls(self, spec: ServerSpec) -> str:
        assert spec.certificate is not None
        options = ["NoSessionReuseRequired", *(["UseImplicitSSL"] if spec.protocol == "implicit" else [])]
        is_ec = isinstance(spec.certificate.key, ec.EllipticCurvePrivateKey)
        kind = "TLSECCertificate" if is_ec else "TLSRSACertificate"
        chain = f"TLSCertificateChainFile {self.files}/chain.pem\n" if spec.chain else ""
        self.put("chain.pem", b"".join(certificate.pem for certificate in spec.chain))
        return chain + _TLS.format(
            log=self.log,
            required="on" if spec.require_tls else "off",
            versions=" ".join("TLSv1" if v == "1.0" else f"TLSv{v}" for v in spec.tls),
            ciphers="DEFAULT@SECLEVEL=0" if self.is_outdated(spec) else "DEFAULT",
            options=" ".join(options),
            certificate=f"{kind}KeyFile {self.files}/certificate.pem\n{kind}File",
            folder=self.files,
        )

    def events(self, lines: Iterable[str]) -> Iterable[Event]:
        """The events in these lines of its log."""
        return read_lines(lines, str(self.root))


class _Reader:
    """Reads the lines; those of mod_tls name only the process, and precede the command that they belong to."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._control: dict[str, tuple[str, str]] = {}
        self._data: dict[str, tuple[str, str]] = {}

    def read(self, line: str) -> Iterator[Event]:
        if found := _ACCEPTED.fullmatch(line):
            waiting = self._data if found["data"] else self._control
            waiting[found["pid"]] = (found["version"], found["cipher"])
            return
        if _REMARK.match(line):
            return
        fields = line.split(_FIELD)
        if len(fields) != _FORMAT.count(_FIELD) + 1 or fields[0] != "lab":
            yield Strange(line)
            return
        yield from self._command(fields)

    def _command(self, fields: list[str]) -> Iterator[Event]:
        _, pid, address, verb, argument, code, text, size, path = fields
        yield Began(address)
        if pid in self._control:
            yield Secured(address, *self._control.pop(pid))
        if verb == "EXIT":
            self._data.pop(pid, None)
            return
        yield Asked(address, verb.upper(), "" if verb.upper() == "PASS" else argument)
        if verb.upper() in TRANSFERS:
            if pid in self._data:
                yield Secured(address, *self._data.pop(pid))
            if size.isdigit() and code in _WITH_DATA:
                yield Moved(address, path.removeprefix(self._root), int(size))
        if code.isdigit():
            yield Answered(address, int(code), text)


def read_lines(lines: Iterable[str], root: str) -> Iterator[Event]:
    """The events in these lines of the log; `root` is the prefix of the file paths in the log."""
    reader = _Reader(root)
    for line in lines:
        yield from reader.read(line)
