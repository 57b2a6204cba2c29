r"""One session: a served folder with secrets in it, a server, a HOME and lftp in one place, managed together.

`ftps-lab run` and `serve`, the matrix and the pytest fixtures all use it. From Python, without pytest:

```python
from ftps_harness.client import lftp
from ftps_harness.play.attempt import Request
from ftps_harness.play.places.sealed import Sealed
from ftps_harness.play.program import Command
from ftps_harness.play.session import Session
from ftps_lab.certificates import CertificateSpec, issue
from ftps_lab.interface import ServerSpec

client = lftp.identify(lftp.find())
leaves = issue({"genuine": CertificateSpec(names=("ftp.example.org",)), "other": CertificateSpec()})
genuine = ServerSpec(certificate=leaves["genuine"])

with Sealed([client.path]) as place, Session(place, client) as session:
    session.serve(genuine, host="ftp.example.org")              # port 21, under its real name
    session.home.put_file("pin.crt", leaves["genuine"].pem)     # or session.home.fill(FOLDER)
    pinned = Request(host="ftp.example.org", rc='set ssl:ca-file "~/.lftp/pin.crt"\n')
    print(session.attempt(pinned).outcome.verdict)              # accepted

    impostor = ServerSpec(certificate=leaves["other"], role="impostor")
    session.serve(impostor, host="ftp.example.org")             # the same server process, another certificate
    print(session.attempt(pinned).outcome.verdict)              # rejected

    naive = ("set ssl:verify-certificate no", f"open -u {session.secrets.user},{session.secrets.password} "
             "ftp.example.org", "ls")
    done = session.observe(Command(argv=(str(client.path), "-c", "\n".join(naive)), host="ftp.example.org"))
    print(sorted(done.exposures))                               # the password and a listing, to the impostor
```
"""

from __future__ import annotations

import contextlib
import ssl
from functools import cached_property
from typing import TYPE_CHECKING, Self

from ftps_harness.errors import HarnessError
from ftps_harness.play.actions.tasks import populate
from ftps_harness.play.attempt import attempt
from ftps_harness.play.login import Login
from ftps_harness.play.places.loopback import Loopback
from ftps_harness.play.program import observe
from ftps_harness.play.scene import Scene
from ftps_harness.play.served import ServedFolder
from ftps_harness.sandbox.home import Home
from ftps_harness.sandbox.secrets import Secrets
from ftps_lab.temporary import Folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ftps_harness.client.lftp import Lftp
    from ftps_harness.play.attempt import Attempt, Request
    from ftps_harness.play.places.loopback import Place
    from ftps_harness.play.program import Command, Observed
    from ftps_lab.interface import Server, ServerSpec


class Session:
    """Everything needed to run lftp or another program. Use it as a context manager, or `close` it.

    Args:
        place: Where lftp and the server run; None for this machine's loopback.
        client: The lftp that `attempt` runs; None if there is none, or if each call gives its own.
        users: Users besides `secrets.user` that may log in, for servers that must know them in advance.
        secrets: User, password, file names and contents; None for new ones.

    Attributes:
        place: Where lftp and the server run.
        secrets: What must reach only the genuine server.
        root: The folder that the server serves, with the secret files in it.

    Raises:
        OSError: The folder cannot be created.
        LabError: No location for the folder is available.
    """

    def __init__(
        self,
        place: Place | None = None,
        client: Lftp | None = None,
        *,
        users: Sequence[str] = (),
        secrets: Secrets | None = None,
    ) -> None:
        self.place: Place = place or Loopback()
        self.client = client
        self.secrets = secrets or Secrets.new()
        self._users = sorted({self.secrets.user, *users})
        self._server: Server | None = None
        self._spec: ServerSpec | None = None
        self._host = ""
        with contextlib.ExitStack() as stack:
            self.root: Path = stack.enter_context(Folder("root", self.place.parent)).path
            populate(self.root, self.secrets)
            stack.callback(self._stop)
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the server, and remove HOME and the served folder; repeatable.

        Raises:
            LabError: The server had failed, or something does not end.
        """
        self._stack.close()

    @cached_property
    def home(self) -> Home:
        """The sealed HOME, created on first access; it persists from run to run.

        Raises:
            HarnessError: It cannot be created.
        """
        return self._stack.enter_context(Home(self.place.parent, self.place.inside))

    def copy_of_home(self, home: Home | None = None) -> Home:
        """Return an independent copy of the current HOME, which is removed with the session at the latest.

        Raises:
            HarnessError: It cannot be written.
        """
        return self._stack.enter_context((home or self.home).clone())

    # --- the server ------------------------------------------------------------------------------------------------

    @property
    def server(self) -> Server:
        """The running server, or the last one that ran.

        Raises:
            HarnessError: None was started.
        """
        if self._server is None:
            raise HarnessError("no server runs in this session: start one with `serve`")
        return self._server

    @property
    def spec(self) -> ServerSpec:
        """The server's current spec.

        Raises:
            HarnessError: None was started.
        """
        if self._spec is None:
            raise HarnessError("no server runs in this session: start one with `serve`")
        return self._spec

    def serve(self, spec: ServerSpec, *, host: str = "localhost", port: int = 0) -> None:
        """Run a server with this spec at the address to which `host` leads.

        A server that already runs there changes with the next connection, which takes milliseconds, and keeps its port
        unless another is given; a server that runs elsewhere is ended first.

        Args:
            spec: The server's spec.
            host: The host that users type.
            port: The port to listen on; 0 for the place's default: in the place `sealed` 21, or 990 for implicit FTPS.

        Raises:
            LabError: It does not start, or does not support this spec.
        """
        if self.is_at(host) and port in {0, self.server.port}:
            self.change(spec)
            return
        self._stop()
        self._server = None
        self._server = self.place.serve(
            spec, root=self.root, password=self.secrets.password, users=self._users, port=port, host=host
        )
        self._spec, self._host = spec, host

    def is_at(self, host: str) -> bool:
        """Whether a server runs at the address to which this host leads."""
        return self._server is not None and self.place.same_server(host, self._host)

    def change(self, spec: ServerSpec) -> None:
        """Change the server's spec from the next connection on; host and port stay.

        Raises:
            LabError: The server does not support this spec.
        """
        self._spec = spec
        self.server.change(spec)

    def change_after(self, connections: int, spec: ServerSpec) -> None:
        """Change the server's spec after this many control connections of the next run, which is judged by the new one.

        Raises:
            LabError: The server does not support this spec.
        """
        self._spec = spec
        self.server.change_after(connections, spec)

    @contextlib.contextmanager
    def changed(self, spec: ServerSpec) -> Iterator[None]:
        """Change the server's spec within a context."""
        before = self.spec
        self.change(spec)
        try:
            yield
        finally:
            self.change(before)

    def login(self, user: str | None = None, password: str | None = None) -> Login:
        """Return the login that lftp gets: `user` and `password` if given, else the server's correct ones."""
        return Login.of(self.spec, self.secrets, user, password)

    def fetch(self) -> bytes:
        """Fetch the leaf that the running server shows, as PEM, the way the document does.

        Raises:
            HarnessError: No certificate was returned, or that of another server: as a pin it would prove nothing.
        """
        spec = self.spec
        declared = spec.attack_certificate if spec.intercepted else spec.certificate
        if spec.protocol == "plain" or declared is None:
            raise HarnessError("a plain server has no certificate to fetch")
        leaf = self.place.fetch(self.server, spec.protocol)
        if ssl.PEM_cert_to_DER_cert(leaf.decode("ascii").strip()) != declared.der:
            raise HarnessError(
                "the certificate fetched from the server is not the declared one: something else answers at its address"
            )
        return leaf

    def served(self) -> ServedFolder:
        """A snapshot of the served folder, to restore later (`ServedFolder.as_it_was`)."""
        return ServedFolder(self.root)

    # --- runs ------------------------------------------------------------------------------------------------------

    def attempt(self, request: Request, *, home: Home | None = None, client: Lftp | None = None) -> Attempt:
        """Run lftp once, and collect what client, server and wire saw.

        Args:
            request: What lftp is to do.
            home: A HOME to use instead of the session's.
            client: An lftp to use instead of the session's.

        Raises:
            LabError: The server failed.
            HarnessError: lftp cannot be run, or HOME cannot be written.
        """
        return attempt(self._scene(home, client), request)

    def observe(self, command: Command, *, home: Home | None = None) -> Observed:
        """Run any program once in the current HOME, and find out from server and wire what it exposed, and to whom.

        Raises:
            LabError: The server failed.
            HarnessError: The program cannot be started.
        """
        return observe(self._scene(home), command)

    def _scene(self, home: Home | None, client: Lftp | None = None) -> Scene:
        return Scene(
            client or self.client, home or self.home, self.server, self.spec, self.root, self.secrets, self.place
        )

    def _stop(self) -> None:
        if self._server is not None:
            self._server.stop()
