"""What the pytest fixtures hand out: servers to talk to, and lftp to talk to them, without controls.

The names stand in docs/reference.md, "The pytest plugin". Loaded only when a test asks for it: the plugin itself stays
light.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import trustme

from ftps_harness.attempt import Attempt, Request, Scene, attempt
from ftps_harness.errors import UsageError
from ftps_harness.place import Here
from ftps_harness.scenario import runs, servers
from ftps_harness.scenario.files import destination
from ftps_harness.scenario.model import Server
from ftps_harness.secrets import Secrets
from ftps_harness.tasks import populate
from ftps_lab.certificates import Certificate, CertificateSpec, check, from_trustme, issue, twins
from ftps_lab.interface import ServerSpec
from ftps_lab.temporary import Folder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ftps_harness.home import Home
    from ftps_harness.lftp import Lftp
    from ftps_lab.testimony import Testimony

_SERVER_KEYS = tuple(ServerSpec.__dataclass_fields__)
_CERTIFICATES = ("certificate", "data_certificate", "attack_certificate")
_PLAIN_KEYS = ("protocol", "role", "require_tls", "tls", "attack", "attack_reply", "attack_how")


@dataclass(frozen=True, slots=True)
class TestOutcome:
    """What happened in one run, for a test to look at.

    Attributes:
        verdict: One of docs/reference.md, "Verdicts".
        reasons: Why lftp refused.
        exposed: What reached somebody who must not have it.
        to: Whom.
        message: lftp's words, or everything on its standard error where it said none of a refusal.
        testimony: What the server witnessed during this run.
        attempt: All the rest: streams, debug log, raw bytes.
    """

    verdict: str
    reasons: frozenset[str]
    exposed: frozenset[str]
    to: frozenset[str]
    message: str
    testimony: Testimony
    attempt: Attempt

    __test__ = False  # its name begins with Test, but it is none

    def __str__(self) -> str:
        lines = [f"verdict: {self.verdict}"]
        for name, value in (("reasons", self.reasons), ("exposed", self.exposed), ("to", self.to)):
            lines += [f"{name}: {', '.join(sorted(value))}"] if value else []
        lines += self.attempt.outcome.contradictions
        lines += ["rc:", self.attempt.rc, "stderr:", self.attempt.run.stderr.decode("utf-8", "backslashreplace")]
        return "\n".join(lines)


class ServerHandle:
    """A running FTPS server of a test.

    Attributes:
        host: What a user types; the certificate is for this name.
        port: Where it listens, on loopback.
        pin: The path of its certificate as PEM; the same path after `rotate`, with the old content until you fetch it.
    """

    def __init__(self, factory: ServerFactory, declared: ServerSpec, folder: Path) -> None:
        self._factory = factory
        self._folder = folder
        self._declared = declared
        self._copies: dict[str, Certificate] = {}
        self.secrets = Secrets.new()
        self.root = folder / "served"
        self.root.mkdir()
        populate(self.root, self.secrets)
        self.spec = self._complete(declared)
        self.server = Here().serve(self.spec, root=self.root, password=self.secrets.password)
        self.host = "localhost"
        self.pin = folder / "pin.crt"
        self._write_pin(self.pin)

    @property
    def port(self) -> int:
        """Where it listens, on loopback."""
        return self.server.port

    @property
    def certificate(self) -> Certificate | None:
        """What it shows now."""
        return self.spec.certificate

    @property
    def new_pin(self) -> Path:
        """The path of the certificate that it shows now, as PEM."""
        path = self._folder / "new-pin.crt"
        self._write_pin(path)
        return path

    def rotate(self, **keywords: Any) -> None:
        """Show another certificate from the next connection on: a new key, unless keywords say otherwise.

        An attacker who comes or goes (`attack` and its keys) changes nothing about the server itself.

        Args:
            **keywords: The keys of ``[server]`` that change, as for `ServerFactory`.

        Raises:
            UsageError: A keyword means nothing.
        """
        if not any(keyword.startswith("attack") for keyword in keywords):
            keywords.setdefault("certificate", {})
        self._declared = self._factory.spec(self._declared, keywords)
        self.spec = self._complete(self._declared)
        self.server.change(self.spec)

    def testimony(self) -> Testimony:
        """What the server witnessed since the last run of lftp began."""
        return self.server.testimony()

    def _complete(self, spec: ServerSpec) -> ServerSpec:
        """What an interceptor shows unless told otherwise: the certificate in every field but the key."""
        if spec.attack != "intercept" or spec.certificate is None or spec.attack_certificate is not None:
            return spec
        genuine = spec.certificate
        if genuine.sha256 not in self._copies:
            self._copies[genuine.sha256] = twins({"": genuine})[""]
        return replace(spec, attack_certificate=self._copies[genuine.sha256])

    def _write_pin(self, path: Path) -> None:
        if self.spec.certificate is not None:
            path.write_bytes(self.spec.certificate.pem)


class ServerFactory:
    """The fixture `ftps_server`: call it for a server; call it again for another."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._specs: dict[str, CertificateSpec] = {}
        self._issued: dict[str, Certificate] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def __call__(self, **keywords: Any) -> ServerHandle:
        """Start a server.

        Args:
            **keywords: The keys of ``[server]``; `certificate` is a certificate or a table of ``[certificates.*]``.

        Raises:
            UsageError: A keyword means nothing.
            LabError: The server cannot be started.
        """
        spec = self.spec(ServerSpec(protocol="plain"), {"protocol": "explicit", "certificate": {}, **keywords})
        folder = self._stack.enter_context(Folder("server")).path
        handle = ServerHandle(self, spec, folder)
        self._stack.callback(handle.server.stop)
        return handle

    def certificate(self, **keywords: Any) -> Certificate:
        """Issue a certificate.

        Args:
            **keywords: The keys of ``[certificates.*]``; `issuer` and `same_key_as` take a certificate made here.

        Raises:
            UsageError: A keyword means nothing.
            LabError: This machine's OpenSSL does not issue it.
        """
        _known("certificate", keywords, tuple(CertificateSpec.__dataclass_fields__))
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in keywords.items()}
        for key in ("issuer", "same_key_as"):
            if isinstance(values.get(key), Certificate):
                values[key] = self._name_of(key, values[key])
        name = f"certificate-{len(self._specs) + 1}"
        specs = self._specs | {name: CertificateSpec(**values)}
        problems = [f"certificate({key}=…): {sentence}" for of, key, sentence in check(specs) if of == name]
        if problems:
            raise UsageError("; ".join(problems))
        self._issued = issue(specs, given=self._issued)
        self._specs = specs
        return self._issued[name]

    def spec(self, before: ServerSpec, keywords: Mapping[str, Any]) -> ServerSpec:
        """A server's data with some keys changed.

        Raises:
            UsageError: A keyword means nothing, by itself or with the others.
        """
        _known("ftps_server", keywords, _SERVER_KEYS)
        changes: dict[str, Any] = dict(keywords)
        chain: Sequence[Certificate] = ()
        for key in _CERTIFICATES:
            if changes.get(key) is not None:
                changes[key], sent = self._shown(key, changes[key])
                chain = (sent if key != "attack_certificate" else ()) or chain
        changes["chain"] = tuple(changes.get("chain", chain or before.chain))
        if "tls" in changes:
            changes["tls"] = tuple(changes["tls"])
        if changes.get("protocol") == "plain" and keywords.get("certificate") == {}:
            changes["certificate"] = None
        _check(keywords, spec := replace(before, **changes))
        return spec

    def _name_of(self, key: str, certificate: Certificate) -> str:
        for name, issued in self._issued.items():
            if issued is certificate:
                return name
        raise UsageError(f"certificate({key}=…): give one made by ftps_server.certificate(…), not {certificate.name!r}")

    def _shown(self, key: str, value: Any) -> tuple[Certificate, Sequence[Certificate]]:
        """A certificate, and what is sent after it: made by `certificate`, trustme's, or a table of the format."""
        if isinstance(value, Certificate):
            return value, ()
        if isinstance(value, trustme.LeafCert):
            certificate = from_trustme(value)
            return certificate, certificate.chain
        if not isinstance(value, dict):
            made = "one made by ftps_server.certificate(…) or by trustme, or a table of [certificates.*]"
            raise UsageError(f"ftps_server({key}=…): give {made}, not {value!r}")
        return self.certificate(**value), ()


class LftpRunner:
    """The fixture `lftp`: the real one, in a sealed HOME that lives as long as the test."""

    def __init__(self, client: Lftp, home: Home, timeout: float = 30.0) -> None:
        self.client = client
        self.home = home
        self._timeout = timeout

    def __call__(
        self,
        server: ServerHandle,
        *,
        rc: str | None = None,
        run: Sequence[str] = ("list", "get"),
        host: str = "localhost",
        user: str | None = None,
        password: str | None = None,
        cwd: Literal["lftp", "home", "elsewhere"] = "home",
        files: Mapping[str, Certificate | trustme.LeafCert | Path | str | bytes] | None = None,
    ) -> TestOutcome:
        """Run lftp against a server and ask client, server and wire what happened.

        Args:
            server: One made by `ftps_server`.
            rc: The rc file; None for none at all, whatever the run before had.
            run: ``list``, ``get``, ``put``, ``mirror``, or literal lftp commands.
            host: What the user types; any name leads to the lab.
            user: None for a secret user; ``anonymous`` for lftp's own anonymous login.
            password: None for the secret one, which lets any user in.
            cwd: Where lftp is started.
            files: Put into ``~/.lftp`` (a name ``cwd/NAME``: into the folder that lftp is started in).

        Raises:
            LabError: The server failed.
            HarnessError: lftp cannot be run.
            UsageError: `run` cannot mean anything.
        """
        if isinstance(run, str):
            raise UsageError(f"lftp(run=…): write a list, such as [{run!r}]")
        if problems := list(runs.check(tuple(run), "run")):
            raise UsageError("; ".join(f"lftp({problem.key}=…): {problem.sentence}" for problem in problems))
        for name, content in (files or {}).items():
            folder, plain_name = destination(name, cwd)
            self.home.put_file(plain_name, _bytes(content), folder=folder)
        if rc is None:
            (self.home.dot_lftp / "rc").unlink(missing_ok=True)
        request = Request(
            rc=rc, host=host, run=tuple(run), user=user, password=password, cwd=cwd, timeout=self._timeout
        )
        scene = Scene(self.client, self.home, server.server, server.root, server.secrets)
        done = attempt(scene, server.spec, request)
        outcome = done.outcome
        return TestOutcome(
            outcome.verdict,
            outcome.reasons,
            outcome.exposed,
            outcome.to,
            outcome.message or done.run.stderr.decode("utf-8", "replace"),
            done.testimony,
            done,
        )


def _check(given: Mapping[str, Any], spec: ServerSpec) -> None:
    """Hold a server to the rules of ``[server]``."""
    keys = {key: value for key, value in given.items() if key in _PLAIN_KEYS}
    keys |= {key: key for key in _CERTIFICATES if given.get(key) is not None}
    server = Server(
        **{key: getattr(spec, key) for key in _PLAIN_KEYS},
        certificate="certificate" if spec.certificate else None,
        data_certificate="data_certificate" if spec.data_certificate not in {None, spec.certificate} else None,
    )
    if problems := list(servers.check_keys(keys, server, list(_CERTIFICATES))):
        raise UsageError("; ".join(f"ftps_server({problem.key}=…): {problem.sentence}" for problem in problems))


def _bytes(content: Certificate | trustme.LeafCert | Path | str | bytes) -> bytes:
    if isinstance(content, Certificate):
        return content.pem
    if isinstance(content, trustme.LeafCert):
        return content.cert_chain_pems[0].bytes()
    if isinstance(content, Path):
        return content.read_bytes()
    return content.encode() if isinstance(content, str) else content


def _known(what: str, keywords: Mapping[str, Any], known: Sequence[str]) -> None:
    for key in keywords:
        if key not in known:
            raise UsageError(f"{what}({key}=…): there is no such keyword; use one of {', '.join(known)}")
