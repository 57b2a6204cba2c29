"""What the daemons have in common: their private folder, users, certificates and TLS versions."""

from __future__ import annotations

import contextlib
import ctypes
import shutil
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, ClassVar

from ftps_lab.daemons.process import Process
from ftps_lab.errors import LabError

if TYPE_CHECKING:
    import re
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from ftps_lab.daemons.inetd import Inetd
    from ftps_lab.daemons.log import Event
    from ftps_lab.interface import ServerSpec

_OPENSSL = """\
openssl_conf = lab
[lab]
ssl_conf = versions
[versions]
system_default = default
[default]
MinProtocol = TLSv{lowest}
MaxProtocol = TLSv{highest}
CipherString = {ciphers}
"""

ACCOUNT = "lab-files"
"""Our name for the owner of the served folder."""

ANONYMOUS_NAMES = ("anonymous", "ftp")

_ORDER = ("1.0", "1.1", "1.2", "1.3")
_OPENSSL_NAMES = {"1.0": "1"}


@dataclass(frozen=True, slots=True)
class Needs:
    """The privileges that a daemon's container must grant.

    Attributes:
        user: ``root``, or an empty string for the owner of the served folder.
        capabilities: Linux capabilities, without ``CAP_``; all others can be dropped.
        writable: Folders outside /tmp that must be writable (a tmpfs is enough).
        why: Why it needs root and the capabilities.
    """

    user: str
    capabilities: tuple[str, ...] = ()
    writable: tuple[str, ...] = ()
    why: str = ""


def is_user(name: str) -> bool:
    """Whether every daemon's user files can hold such a name, or such a password."""
    return name.isprintable() and bool(name) and not set(name) & set(":\"'\\ ")


class Daemon(ABC):
    """One kind of daemon, with its files in its own folder.

    Args:
        folder: A private folder; its owner removes it.
        root: The folder that it serves.
        users: The users who may log in.
        password: Their password.
        address: The inward address and port that it listens on.
        passive: Its ports for data connections.
        outward: The address that it announces.
        passwords: User → this user's own password; if set, each user gets the folder of that name below `root`, and
            anonymous logins are refused.
    """

    binary: ClassVar[str]
    needs: ClassVar[Needs]
    anonymous: ClassVar[bool]
    oldest_tls: ClassVar[str] = "1.0"
    has_implicit: ClassVar[bool] = True
    has_gaps: ClassVar[bool] = False
    """It can exclude a version between the oldest and the newest that it offers."""
    tickets: ClassVar[tuple[int, int]] = (2, 1)
    """Number of session tickets it sends in TLS 1.3: after a full handshake, and when it resumes."""
    leaves_out: ClassVar[int] = 0
    """Commands before a login that its log omits; a log that omits some may omit others after the login."""
    home_ends_in: ClassVar[str] = ""
    last_words: ClassVar[re.Pattern[bytes] | None] = None
    """What it sends in clear when a TLS session breaks; it contains nothing from a client."""

    def __init__(
        self,
        folder: Path,
        *,
        root: Path,
        users: tuple[str, ...],
        password: str,
        address: tuple[str, int],
        passive: range,
        outward: str,
        passwords: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.files = folder
        self.root = root
        self.users = tuple(dict.fromkeys(name for name in users if name not in ANONYMOUS_NAMES))
        self.password = password
        self.address = address
        self.passive = passive
        self.outward = outward
        self.log = folder / "log"
        self.passwords = dict.fromkeys(self.users, password) if passwords is None else dict(passwords)
        self.own_folders = passwords is not None
        for name in (*self.passwords.values(), *self.users):
            if not is_user(name):
                raise LabError(
                    "users and passwords of a daemon consist of printable characters without : ' \" \\ or blanks"
                )

    @property
    def owner(self) -> tuple[int, int]:
        """The user and group ids of the served folder, which uploads get too."""
        status = self.root.stat()
        return status.st_uid, status.st_gid

    @classmethod
    def path(cls) -> str:
        """The path of the program.

        Raises:
            LabError: It is not installed.
        """
        found = shutil.which(cls.binary) or shutil.which(cls.binary, path="/usr/sbin:/usr/local/sbin")
        if found is None:
            raise LabError(f"{cls.binary} is not installed here; its container image has it")
        return found

    @classmethod
    def why_not(cls, spec: ServerSpec) -> str:
        """Why this daemon cannot be such a server; empty if it can."""
        return cls._why_not_protocol(spec) or cls._why_not_versions(spec)

    @classmethod
    def _why_not_protocol(cls, spec: ServerSpec) -> str:
        if spec.attack != "none":
            return (
                f"{cls.binary} is a real daemon and cannot play an attacker: use the lab's own server for attack "
                f"{spec.attack!r}"
            )
        if spec.greeting or spec.greeting_in_pieces:
            return f"{cls.binary} has its own greeting, and this server sets another"
        data = spec.data_certificate
        if data is not None and (spec.certificate is None or data.sha256 != spec.certificate.sha256):
            return f"{cls.binary} shows the same certificate on control and data connections"
        if spec.protocol == "implicit" and not cls.has_implicit:
            return f"{cls.binary} has no implicit TLS"
        return ""

    @classmethod
    def _why_not_versions(cls, spec: ServerSpec) -> str:
        if spec.protocol == "plain":
            return ""
        offered = sorted(spec.tls, key=_ORDER.index)
        between = _ORDER[_ORDER.index(offered[0]) : _ORDER.index(offered[-1]) + 1]
        if len(between) != len(offered) and not cls.has_gaps:
            return f"{cls.binary} offers only TLS versions without a gap, not {', '.join(offered)}"
        if _ORDER.index(offered[0]) < _ORDER.index(cls.oldest_tls):
            return f"{cls.binary} offers nothing older than TLS {cls.oldest_tls}"
        return ""

    @abstractmethod
    def argv(self) -> list[str]:
        """The command line."""

    @abstractmethod
    def write(self, spec: ServerSpec) -> None:
        """Write or replace its files."""

    @abstractmethod
    def events(self, lines: Iterable[str]) -> Iterable[Event]:
        """The events in these lines of its log."""

    def run(self) -> Process | Inetd:
        """Start it with the files from the last `write`.

        Raises:
            LabError: It cannot be started.
        """
        return Process(self)

    def environment(self) -> dict[str, str]:
        """Its whole environment."""
        return {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "LC_ALL": "C",
            "TZ": "UTC",
            "OPENSSL_CONF": str(self.files / "openssl.cnf"),
            "LD_PRELOAD": "libnss_wrapper.so",
            "NSS_WRAPPER_PASSWD": str(self.files / "accounts"),
            "NSS_WRAPPER_GROUP": str(self.files / "groups"),
        }

    def write_accounts(self, hashed: str = "x") -> None:
        """Write the system users that the daemon sees (nss_wrapper(1)): /etc/passwd stays unchanged."""
        uid, gid = self.owner
        names = dict.fromkeys((ACCOUNT, *ANONYMOUS_NAMES, *self.users), (uid, gid, f"{self.root}{self.home_ends_in}"))
        entries = {"root": (0, 0, "/"), "nobody": (65534, 65534, "/"), **names}
        self.put(
            "accounts", "".join(f"{n}:{hashed}:{u}:{g}:{n}:{home}:/bin/sh\n" for n, (u, g, home) in entries.items())
        )
        self.put("groups", f"root:x:0:\nnogroup:x:65534:\n{ACCOUNT}:x:{gid}:\n")

    def put(self, name: str, content: str | bytes) -> None:
        """Write a file atomically: no reader sees a partial file."""
        new = self.files / f"{name}.new"
        new.touch(mode=0o600)
        new.write_bytes(content if isinstance(content, bytes) else content.encode())
        new.replace(self.files / name)

    def write_common(self, spec: ServerSpec) -> None:
        """Write the certificate with its chain and key into one file, and OpenSSL's configuration."""
        if spec.protocol == "plain":
            return
        if spec.certificate is None:
            raise LabError(f"a server of protocol {spec.protocol!r} needs a certificate: give `certificate`")
        chain = b"".join(certificate.pem for certificate in (spec.certificate, *spec.chain))
        self.put("certificate.pem", spec.certificate.key_pem + chain)
        bounds = [_OPENSSL_NAMES.get(v, v) for v in (min(spec.tls), max(spec.tls))]
        ciphers = "DEFAULT@SECLEVEL=0" if self.is_outdated(spec) else "DEFAULT"
        self.put("openssl.cnf", _OPENSSL.format(lowest=bounds[0], highest=bounds[1], ciphers=ciphers))

    def is_outdated(self, spec: ServerSpec) -> bool:
        """Whether OpenSSL serves this only at security level 0 (`ftps_lab.server.tls`)."""
        from ftps_lab.server.tls import OUTDATED_VERSIONS, is_outdated

        assert spec.certificate is not None
        return bool(set(spec.tls) & OUTDATED_VERSIONS) or any(map(is_outdated, (spec.certificate, *spec.chain)))

    def log_size(self) -> int:
        """The current size of its log in bytes."""
        with contextlib.suppress(FileNotFoundError):
            return self.log.stat().st_size
        return 0

    def lines(self, start: int) -> list[str]:
        """The lines of its log from this offset on; a truncated line is reported as unknown."""
        if not self.log.exists():
            return []
        with self.log.open("rb") as file:
            file.seek(start)
            return (
                file.read().decode(errors="replace").removesuffix("\n").split("\n") if self.log_size() > start else []
            )

    def is_quiet(self, timeout: float = 5.0) -> bool:
        """Whether the log of ended sessions is complete; False if that is not certain within `timeout` seconds."""
        del timeout  # the daemon writes its own log
        return True

    def close(self) -> None:  # noqa: B027 - most have nothing to do
        """Release what its log needed; repeatable."""

    def tail(self, lines: int = 8) -> str:
        """The last lines of its log, for an error message."""
        said: list[str] = []
        for name in ("log", "output"):
            with contextlib.suppress(OSError):
                said += (self.folder / name).read_text(errors="replace").splitlines()[-lines:]
        return "\n".join(said) or "(its log is empty)"


@cache
def crypted(password: str) -> str:
    """The password hashed by crypt(5), with the C library that the daemon will use: SHA-256, the fewest rounds."""
    libcrypt = ctypes.CDLL("libcrypt.so.1")
    libcrypt.crypt.restype = ctypes.c_char_p
    result = libcrypt.crypt(password.encode(), b"$5$rounds=1000$ftpslab$")
    if result is None:
        raise LabError("libcrypt here does not support SHA-256, which the daemons' passwords need")
    return str(result.decode())
