"""vsftpd 3.0.3: its configuration, and its log read line by line.

Measured on Debian's 3.0.3-13: the listener loads the certificate at startup; SIGHUP makes it reload its settings but
not the certificate, so a rotation needs a new listener; open sessions continue. It cannot restrict TLS versions itself;
OpenSSL's own configuration does that (`OPENSSL_CONF`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar

from ftps_lab.daemons.daemon import ACCOUNT, Daemon, Needs, crypted
from ftps_lab.daemons.log import Answered, Asked, Began, Event, Moved, Secured, Strange

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ftps_lab.interface import ServerSpec

_LINE = re.compile(
    r"\w{3} \w{3} [ \d]\d [\d:]{8} \d{4} \[pid \d+\] (?:\[[^\]]*\] )?"
    r'(?P<kind>CONNECT|DEBUG|FTP command|FTP response|(?:OK|FAIL) [A-Z]+): Client "(?P<address>[\d.]+)"'
    r"(?:, (?P<rest>.*))?"
)
_MOVED = re.compile(r'"(?P<path>.*)", (?:(?P<size>\d+) bytes, )?[\d.]+Kbyte/sec')
_SECURED = re.compile(r"SSL version: ([^,]+), SSL cipher: ([^,]+), .*")
_REPLY = re.compile(r'"(\d{3})([ -].*)"')


_SETTINGS: dict[str, object] = {
    "listen": "YES",
    "background": "NO",
    "isolate": "NO",  # new namespaces need SYS_ADMIN, and would hide the process id from the log
    "isolate_network": "NO",
    "seccomp_sandbox": "NO",  # known to kill sessions in containers: 500 OOPS
    "local_enable": "YES",
    "guest_enable": "YES",
    "guest_username": ACCOUNT,
    "virtual_use_local_privs": "YES",
    "chroot_local_user": "YES",
    "allow_writeable_chroot": "YES",
    "write_enable": "YES",
    "local_umask": "022",
    "anonymous_enable": "NO",  # vsftpd's own anonymous mode refuses a writable folder: PAM admits anonymous
    "chmod_enable": "YES",
    "pam_service_name": "ftps-lab",
    "tcp_wrappers": "NO",
    "port_enable": "NO",  # would bypass the relay
    "pasv_promiscuous": "YES",  # the relay's data and control connections come from different addresses
    "delay_failed_login": 0,
    "delay_successful_login": 0,
    "use_localtime": "NO",
    "utf8_filesystem": "YES",
    "log_ftp_protocol": "YES",
    "xferlog_enable": "YES",
    "xferlog_std_format": "NO",
    "debug_ssl": "YES",
}
"""Settings of every server (vsftpd.conf(5))."""

_TLS_SETTINGS: dict[str, object] = {
    # In 2 to 4 of 100 uploads lftp 4.8.4 ends without close_notify. This build then replies 426 although it has the
    # whole file (its manual says that NO is the default): here the file's hash decides.
    "strict_ssl_read_eof": "NO",
    "strict_ssl_write_shutdown": "NO",
    "allow_anon_ssl": "YES",  # the user anonymous may use TLS like the others
    "ssl_tlsv1": "YES",
    "ssl_request_cert": "NO",
}
"""Settings of every server with TLS."""


class Vsftpd(Daemon):
    """vsftpd without its requirement that data connections resume a TLS session."""

    binary = "vsftpd"
    needs = Needs(
        user="root",
        capabilities=("SETUID", "SETGID", "SYS_CHROOT", "KILL", "DAC_READ_SEARCH"),
        why="it changes to the user of the served folder and makes that folder its root",
    )
    anonymous = True
    last_words = re.compile(rb"(?:500 OOPS: [^\r\n]*\r\n)*500 OOPS: [^\r\n]*(?:\r\n)?\Z")
    reuse: ClassVar[str] = "NO"

    def argv(self) -> list[str]:
        """The command line."""
        return [self.path(), str(self.folder / "vsftpd.conf")]

    def write(self, spec: ServerSpec) -> None:
        """Write or replace its files. PAM reads the passwords from vsftpd's working directory."""
        self.write_common(spec)
        self.write_accounts()
        self.put("passwords", "".join(f"{name}:{crypted(own)}\n" for name, own in self.passwords.items()))
        (self.folder / "empty").mkdir(exist_ok=True)
        self.put("nobody-else", "".join(f"{name}\n" for name in self.passwords))
        self.put("vsftpd.conf", "".join(f"{key}={value}\n" for key, value in self._settings(spec).items()))

    def _settings(self, spec: ServerSpec) -> dict[str, object]:
        settings = _SETTINGS | {
            "listen_address": self.address[0],
            "listen_port": self.address[1],
            "secure_chroot_dir": self.folder / "empty",
            "local_root": self.root,
            "pasv_min_port": self.passive.start,
            "pasv_max_port": self.passive.stop - 1,
            "pasv_address": self.outward,
            "vsftpd_log_file": self.log,
            "ssl_enable": _yes_no(spec.protocol != "plain"),
        }
        settings |= self._folders_of_their_own() if self.own_folders else {}
        return settings if spec.protocol == "plain" else settings | self._tls_settings(spec)

    def _folders_of_their_own(self) -> dict[str, object]:
        """Each user's root; vsftpd refuses users not in the list at USER, before PAM could admit anonymous."""
        listed = {"userlist_enable": "YES", "userlist_deny": "NO", "userlist_file": self.folder / "nobody-else"}
        return listed | {"user_sub_token": "$USER", "local_root": f"{self.root}/$USER"}

    def _tls_settings(self, spec: ServerSpec) -> dict[str, object]:
        both = self.folder / "certificate.pem"
        return _TLS_SETTINGS | {
            "implicit_ssl": _yes_no(spec.protocol == "implicit"),
            "rsa_cert_file": both,
            "rsa_private_key_file": both,
            "ssl_ciphers": "DEFAULT@SECLEVEL=0" if self.is_outdated(spec) else "DEFAULT",
            "require_ssl_reuse": self.reuse,
            "force_local_logins_ssl": _yes_no(spec.require_tls),
            "force_local_data_ssl": _yes_no(spec.require_tls),
        }

    def events(self, lines: Iterable[str]) -> Iterable[Event]:
        """The events in these lines of its log."""
        for line in lines:
            yield from read_line(line)


class VsftpdReuse(Vsftpd):
    """vsftpd with its default: a data connection must resume the control connection's TLS session."""

    reuse = "YES"


def _yes_no(value: bool) -> str:
    return "YES" if value else "NO"


def read_line(line: str) -> Iterable[Event]:
    """The events in one line of the log."""
    found = _LINE.fullmatch(line)
    if found is None:
        yield Strange(line)
        return
    address, rest = found["address"], found["rest"] or ""
    match found["kind"]:
        case "CONNECT":
            yield Began(address)
        case "FTP command":
            verb, _, argument = rest.strip('"').partition(" ") if rest.count('"') == 2 else rest[1:-1].partition(" ")
            verb = verb.upper()
            yield Asked(address, verb, "" if verb == "PASS" else argument)
        case "FTP response":
            if reply := _REPLY.fullmatch(rest):
                yield Answered(address, int(reply[1]), reply[2][1:])
        case "OK UPLOAD" | "FAIL UPLOAD" | "OK DOWNLOAD" | "FAIL DOWNLOAD":
            moved = _MOVED.fullmatch(rest)
            yield Moved(address, moved["path"], int(moved["size"] or 0)) if moved else Strange(line)
        case "DEBUG":
            if secured := _SECURED.fullmatch(rest.strip('"')):
                yield Secured(address, secured[1], secured[2])
