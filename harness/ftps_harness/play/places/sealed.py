"""The place `sealed`: a sandbox for each running scenario, with real names, ports and addresses, and no way out.

The system files that lftp reads are the run's own there: /etc/hosts, /etc/resolv.conf, /etc/lftp.conf and the trust
store.
"""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import queue
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from ftps_harness.client import s_client
from ftps_harness.errors import HarnessError
from ftps_harness.play.places.leads import is_address
from ftps_harness.play.places.programs import needed
from ftps_harness.sandbox.home import Home
from ftps_harness.sandbox.sandbox import Sandbox
from ftps_harness.sandbox.view import INSIDE
from ftps_lab.temporary import Folder, quick_place

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping, Sequence

    from ftps_harness.client.lftp import Lftp
    from ftps_harness.sandbox import process
    from ftps_harness.sandbox.changes import Interrupt
    from ftps_harness.scenario import Step
    from ftps_lab.certificates import Certificate
    from ftps_lab.interface import Server, ServerSpec
    from ftps_lab.remote.handle import RemoteScripts
    from ftps_lab.scripted.steps import Script
    from ftps_lab.wire import Traffic

LOOPBACK = "127.0.0.1"
"""The address to which names resolve."""

PORTS = {"explicit": 21, "plain": 21, "implicit": 990}
"""The standard ports of FTP and implicit FTPS (IANA's registry: ftp, ftps)."""

_RESOLVER = "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n"
"""This name server answers every query with NXDOMAIN, and makes queries visible."""

_SWITCH = "passwd: files\ngroup: files\nhosts: files dns\nnetworks: files\nservices: files\nprotocols: files\n"
"""nsswitch.conf(5) without the services that a local resolver answers over its own socket."""

_STORES = ("/etc/ssl/certs", "/etc/pki/tls/certs", "/etc/pki/ca-trust/extracted", "/usr/share/pki/ca-trust-source")
"""Folders of trust stores: Debian and SUSE, Fedora, p11-kit."""
_STORE_FILES = (
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cert.pem",
    "/var/lib/ca-certificates/ca-bundle.pem",
)
_STORE = "store"
_BUNDLES = ("ca-certificates.crt", "ca-bundle.crt")


class Sealed:
    """A private place (`ftps_harness.play.places.loopback.Place`), for one scenario at a time. A context manager.

    Args:
        programs: The programs and scripts to start in it; what they need to start (`programs.needed`) stays visible
            wherever it is.
        authority: The authority in its trust store; None for a new one.
        folders: Further folders that stay visible, read-only.
        wait: Wait until it has started. Otherwise call `wait` before anything else.

    Raises:
        Unavailable: The kernel does not permit it.
        HarnessError: It does not start.

    Attributes:
        authority: The only authority in the system's trust store; clients without a pin trust what it issues.
        names: Further host names that lead to the lab.
        visible: Program folders and files that stay visible; those below /tmp appear in each program's own /tmp.
    """

    name = "sealed"
    inside: Path | None = Path(INSIDE)
    names: tuple[str, ...] = ()
    _typed = "localhost"

    def __init__(
        self,
        programs: Sequence[Path] = (),
        authority: Certificate | None = None,
        *,
        folders: Sequence[Path] = (),
        wait: bool = True,
    ) -> None:
        with contextlib.ExitStack() as stack:
            try:
                folder = stack.enter_context(Folder("sealed", quick_place()))  # lftp never sees this path
            except OSError as error:
                raise HarnessError(
                    f"cannot make a private folder: {error.strerror}; set TMPDIR to a writable folder"
                ) from error
            self.parent: Path | None = folder.path
            self._system = self.parent / "system"
            self._system.mkdir()
            replaced = _system_files(self._system)
            self._write_hosts()
            visible = {str(path) for program in programs for path in needed(program)} | {*map(str, folders)}
            self.visible = tuple(map(Path, sorted(visible)))
            self._sandbox = stack.enter_context(
                Sandbox(
                    self.parent,
                    visible=sorted(visible),
                    replaced={"/etc/hosts": str(self._hosts), **replaced},
                    wait=wait,
                )
            )
            self.authority = _fill(self._system / _STORE, authority)
            self._system_rc = Path(replaced["/etc/lftp.conf"])
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def wait(self) -> None:
        """Wait until it has started.

        Raises:
            Unavailable: The kernel does not permit it.
            HarnessError: It does not start.
        """
        self._sandbox.wait()

    def close(self) -> None:
        """End it and remove its folder; repeatable."""
        self._stack.close()

    @property
    def broken(self) -> bool:
        """Whether its agent no longer answers."""
        return self._sandbox.host.given_up

    def why_not(self, spec: ServerSpec, host: str, user: str | None) -> str:  # noqa: ARG002 - the protocol's
        """Always empty: the lab's own server supports everything that a scenario can request, at any address."""
        return ""

    def refuses(self, step: Step) -> str:  # noqa: ARG002 - the protocol's
        """Always empty: every address leads either to the lab or nowhere."""
        return ""

    def serve(
        self,
        spec: ServerSpec,
        *,
        root: os.PathLike[str],
        password: str,
        users: Sequence[str] = (),
        port: int = 0,
        host: str = "localhost",
    ) -> Server:
        """Start a server at the address to which a host leads, on its protocol's standard port.

        Raises:
            LabError: It does not start.
        """
        from ftps_lab.interface import LAB_KIND  # loads msgspec; the sandbox need not wait for it

        return self._sandbox.host.serve(
            LAB_KIND,
            spec,
            root=root,
            password=password,
            users=users,
            host=_address(host),
            port=port or PORTS[spec.protocol],
        )

    def serve_scripts(self, scripts: Sequence[Script], *, host: str, port: int = 0) -> RemoteScripts:
        """Start a server that follows scripts, under a name; others may run beside it on other ports or addresses.

        The name leads to the lab until `names` is set again, regardless of calls to `address_of` in between.

        Args:
            scripts: Connection n of a record follows script n; further connections follow the last script.
            host: What users type: a name or an address.
            port: 0 lets the system choose.

        Raises:
            LabError: It does not start.
        """
        if not is_address(host) and host not in self.names:
            self.names = (*self.names, host)
        self._write_hosts(self._typed, *self.names)
        return self._sandbox.host.serve_scripts(scripts, host=_address(host), port=port)

    def same_server(self, host: str, other: str) -> bool:
        """All names lead to one address; any other address is another host."""
        return _address(host) == _address(other)

    def address_of(self, host: str) -> str | None:
        """Add the host and `names` to /etc/hosts; return None, because lftp needs no setting."""
        self._typed = host
        self._write_hosts(host, *self.names)
        return None

    def prefix(self) -> Sequence[str]:
        """Empty: inside, /etc/lftp.conf is empty."""
        return ()

    def client(self, client: Lftp, home: Home) -> Lftp:
        """The same program, started inside."""
        return dataclasses.replace(client, start=self.starter(home))

    def starter(self, home: Home) -> process.Starter:
        """Starts programs inside, with that HOME at the path that every HOME has there."""
        return _Starter(self._sandbox, home.root, home.shown)

    def interrupting(self, home: Home, interrupt: Interrupt) -> process.Starter:
        """Like `starter`, but counts changes to files of `home` and interrupts the program at one of them."""
        return _Starter(self._sandbox, home.root, home.shown, interrupt)

    def write_system_rc(self, data: bytes) -> None:
        """Write the system's rc (/etc/lftp.conf), which every lftp in here reads first."""
        self._system_rc.write_bytes(data)

    def watch(self) -> None:
        """Forget all traffic so far."""
        self._sandbox.begin()

    def traffic(self) -> Traffic | None:
        """Every connection on the sandbox's loopback since `watch`."""
        return self._sandbox.traffic()

    def refused(self) -> Sequence[str]:
        """Nothing: attempts to reach other machines are traffic here."""
        return ()

    def fetch(self, server: Server, protocol: Literal["explicit", "implicit"]) -> bytes:
        """Fetch with this machine's openssl, inside.

        Raises:
            HarnessError: openssl is missing, or returned no certificate.
        """
        found = shutil.which("openssl")
        if found is None:
            raise HarnessError("no openssl on PATH, which fetches certificates: apt install openssl")
        with Home(self.parent, self.inside) as home:
            start = self.starter(home)
            return s_client.fetch(server.host, server.port, protocol=protocol, start=start, parent=home.home).leaf

    @property
    def _hosts(self) -> Path:
        return self._system / "hosts"

    def _write_hosts(self, *hosts: str) -> None:
        """Rewrite the file in place, because it is mounted where programs look for it."""
        names = sorted({form for host in hosts if not is_address(host) for form in _forms(host)} - {"localhost"})
        lines = [f"{LOOPBACK} localhost", "::1 ip6-localhost", *(f"{LOOPBACK} {name}" for name in names)]
        self._hosts.write_text("\n".join(lines) + "\n", "utf-8")


def is_store(path: str) -> bool:
    """Whether a path is in the system's trust store, which the sandbox replaces."""
    return path in _STORE_FILES or any(path.startswith(f"{folder}/") for folder in _STORES)


class _Starter:
    """Starts programs inside with one sealed folder (`ftps_harness.sandbox.process.Starter`)."""

    def __init__(
        self,
        sandbox: Sandbox,
        root: Path,
        shown: Mapping[str, str] | None = None,
        interrupt: Interrupt | None = None,
    ) -> None:
        self._sandbox = sandbox
        self._root = root
        self._shown = shown
        self._interrupt = interrupt

    def __call__(self, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, timeout: float) -> process.Finished:
        """Run a program; paths below the folder may be given as they are outside."""
        inside = {name: str(self._inside(value)) for name, value in env.items()}
        return self._sandbox.run(
            argv,
            env=inside,
            cwd=Path(self._inside(str(cwd))),
            timeout=timeout,
            folder=self._root.name,
            shown=self._shown,
            interrupt=self._interrupt,
        )

    def _inside(self, value: str) -> str:
        root = str(self._root)
        return INSIDE + value[len(root) :] if value == root or value.startswith(root + "/") else value


class SealedPlaces:
    """Places for several scenarios at a time, each created when first needed and then reused. A context manager.

    All have the same authority in their trust stores: what is genuine in one is genuine in all.

    Args:
        programs: As for `Sealed`.
        wait: As for `Sealed`, for the first place.

    Raises:
        Unavailable: The kernel does not permit sandboxes.
        HarnessError: No place can be created.
    """

    name = Sealed.name

    def __init__(self, programs: Sequence[Path] = (), *, wait: bool = True) -> None:
        self._programs = tuple(programs)
        self._made: list[Sealed] = []
        self._idle: queue.SimpleQueue[Sealed] = queue.SimpleQueue()
        self._authority: Certificate | None = None
        self._first = self._new(wait=wait)
        self._authority = self._first.authority
        self._idle.put(self._first)  # at once: it starts while scenarios are read, and shows whether it can

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End all of them at once: the kernel takes 30 ms to close each capture."""
        with ThreadPoolExecutor() as pool:
            for ended in [pool.submit(place.close) for place in self._made]:
                ended.result()

    def wait(self) -> None:
        """Wait until the first place has started.

        Raises:
            Unavailable: The kernel does not permit sandboxes.
            HarnessError: It does not start.
        """
        self._first.wait()

    @contextlib.contextmanager
    def lend(self) -> Iterator[Sealed]:
        """Lend a place for exclusive use.

        Raises:
            HarnessError: No further place can be created.
        """
        try:
            place = self._idle.get_nowait()
        except queue.Empty:
            place = self._new()
        try:
            yield place
        except BaseException:
            place.close()
            raise
        if place.broken:
            place.close()
        else:
            self._idle.put(place)

    def _new(self, *, wait: bool = True) -> Sealed:
        place = Sealed(self._programs, self._authority, wait=wait)
        self._made.append(place)
        return place


def _system_files(folder: Path) -> dict[str, str]:
    """Our replacements for system files and folders: path inside → path outside."""
    store = folder / _STORE
    store.mkdir()
    for name in _BUNDLES:
        (store / name).touch()
    files = {
        "/etc/resolv.conf": _RESOLVER.encode(),
        "/etc/nsswitch.conf": _SWITCH.encode(),
        "/etc/lftp.conf": b"",
        "/usr/local/etc/lftp.conf": b"",
    }
    replaced = dict.fromkeys(_STORES, str(store)) | dict.fromkeys(_STORE_FILES, str(store / _BUNDLES[0]))
    for number, (path, data) in enumerate(files.items()):
        ours = folder / f"{number}"
        ours.write_bytes(data)
        replaced[path] = str(ours)
    return replaced


def _fill(store: Path, authority: Certificate | None) -> Certificate:
    """Write the system's trust store, with one authority; its files are already mounted."""
    from ftps_lab.certificates import CertificateSpec, issue  # loads OpenSSL; the sandbox need not wait for it

    if authority is None:
        spec = CertificateSpec(common_name="The only authority of this system", names=(), ca=True)
        authority = issue({"store": spec})["store"]
    for name in _BUNDLES:
        (store / name).write_bytes(authority.pem)
    return authority


def _address(host: str) -> str:
    """The address to which a host leads, as the kernel and the capture write it (RFC 5952).

    An IPv4 address in IPv6 (``::ffff:192.0.2.7``) is reached by IPv4, and 0.0.0.0 and ``::`` lead to this machine.
    """
    if not is_address(host):
        return LOOPBACK
    address = ipaddress.ip_address(host)
    address = getattr(address, "ipv4_mapped", None) or address
    if address.is_unspecified:
        return LOOPBACK if address.version == 4 else "::1"
    return str(address)


def _forms(name: str) -> Iterator[str]:
    """The forms in which a name may be looked up: with a final dot, or with non-ASCII characters (RFC 5891)."""
    yield name
    yield name.rstrip(".")
    with contextlib.suppress(UnicodeError):
        yield name.rstrip(".").encode("idna").decode("ascii")
