"""Resolves a scenario's names for one run: certificates, server specs, file contents, placeholders."""

from __future__ import annotations

import dataclasses
import ssl
from typing import TYPE_CHECKING

from ftps_harness.scenario import substitute
from ftps_harness.scenario.files import destination
from ftps_lab import certificates as issuing
from ftps_lab.interface import ServerSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from ftps_harness.play.login import Login
    from ftps_harness.sandbox.home import Home
    from ftps_harness.scenario import Scenario, Server, Source, Step
    from ftps_lab.certificates import Certificate


class Material:
    """The certificates of one scenario, issued in memory for this run.

    Args:
        scenario: The scenario that names them.

    Raises:
        LabError: A certificate cannot be issued by this machine's OpenSSL.
    """

    def __init__(self, scenario: Scenario) -> None:
        self.certificates: Mapping[str, Certificate] = issuing.issue(scenario.certificates)
        attacked = {step.server.certificate for step in scenario.steps if _intercepted(step.server)}
        self._steps = scenario.steps
        self._copies = issuing.twins({name: self.certificates[name] for name in attacked if name is not None})

    def server(self, server: Server) -> ServerSpec:
        """The complete server of a step, with certificates instead of names."""
        pick = self.certificates
        return ServerSpec(
            protocol=server.protocol,
            certificate=None if server.certificate is None else pick[server.certificate],
            chain=tuple(pick[name] for name in server.chain),
            data_certificate=None if server.data_certificate is None else pick[server.data_certificate],
            role=server.role,
            require_tls=server.require_tls,
            tls=server.tls,
            user=server.user,
            password=server.password,
            attack=server.attack,
            attack_certificate=self._interceptors(server),
            attack_reply=server.attack_reply,
            attack_how=server.attack_how,
        )

    def genuine(self, index: int) -> Certificate | None:
        """The genuine server's certificate at a step, even if an impostor answers instead."""
        steps = self._steps
        for step in (*reversed(steps[: index + 1]), *steps[index + 1 :]):
            if step.server.role == "genuine" and step.server.certificate is not None:
                return self.certificates[step.server.certificate]
        return None

    def _interceptors(self, server: Server) -> Certificate | None:
        """The certificate that an interceptor shows: its own, or a twin of `certificate`."""
        if not _intercepted(server) or server.certificate is None:
            return None
        if server.attack_certificate is not None:
            return self.certificates[server.attack_certificate]
        return self._copies[server.certificate]

    def put_file(
        self, home: Home, step: Step, name: str, values: Mapping[str, str], served: Callable[[], bytes]
    ) -> None:
        """Put one file of a step into a HOME.

        Args:
            home: The HOME to write to.
            step: The step that has the file.
            name: The file's name, as in `files`.
            values: The values of placeholders in texts.
            served: Fetches the leaf that the running server shows, as PEM.

        Raises:
            HarnessError: The file cannot be written; also whatever `served` raises.
        """
        sources = step.files[name]
        data = self.content(sources, step.server, values, served)
        private = any(source.kind == "key" for source in sources)
        folder, plain_name = destination(name, step.cwd)
        home.put_file(plain_name, data, private=private, folder=folder)

    def content(
        self, sources: tuple[Source, ...], server: Server, values: Mapping[str, str], served: Callable[[], bytes]
    ) -> bytes:
        """The bytes of a file of the step; `served` fetches the leaf of the running server."""
        return b"".join(self._part(source, server, values, served) for source in sources)

    def placeholders(self, lftp_folder: Path, host: str, port: int, login: Login) -> dict[str, str]:
        """The value of each placeholder."""
        values = {"lftp": str(lftp_folder), "host": host, "port": str(port)}
        values |= {"user": login.user, "password": login.password}
        for name, certificate in self.certificates.items():
            values[f"sha1:{name}"] = certificate.sha1
            values[f"sha256:{name}"] = certificate.sha256
        return values

    def _part(self, source: Source, server: Server, values: Mapping[str, str], served: Callable[[], bytes]) -> bytes:
        if source.kind == "text":
            return substitute(source.value, values).encode()
        if source.kind == "served":
            return served()
        certificate = self.certificates[source.value]
        if source.kind == "key":
            return certificate.key_pem
        if source.kind == "chain":
            return certificate.pem + b"".join(self.certificates[name].pem for name in server.chain)
        if source.kind == "der":
            return ssl.PEM_cert_to_DER_cert(certificate.pem.decode("ascii"))
        return certificate.pem.replace(b"\n", b"\r\n") if source.kind == "crlf" else certificate.pem


def impostor_of(spec: ServerSpec) -> ServerSpec:
    """The server's impostor: every field of its certificates the same, all keys new."""
    shown = {f"{index}": certificate for index, certificate in enumerate(_shown(spec))}
    copies = issuing.twins(shown)
    by_fingerprint = {original.sha256: copies[name] for name, original in shown.items()}

    def twin(certificate: Certificate | None) -> Certificate | None:
        return None if certificate is None else by_fingerprint[certificate.sha256]

    return dataclasses.replace(
        spec,
        role="impostor",
        certificate=twin(spec.certificate),
        data_certificate=twin(spec.data_certificate),
        chain=tuple(by_fingerprint[certificate.sha256] for certificate in spec.chain),
    )


def _intercepted(server: Server) -> bool:
    return server.attacker is not None and server.attacker.intercepts


def _shown(spec: ServerSpec) -> list[Certificate]:
    return [c for c in (spec.certificate, spec.data_certificate, *spec.chain) if c is not None]
