"""Fetching a certificate with `openssl s_client`, as the document does."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from typing import TYPE_CHECKING, Literal

import pytest

from ftps_harness.client.s_client import command_line, fetch
from ftps_harness.errors import HarnessError
from ftps_lab.certificates import Certificate, CertificateSpec, issue
from ftps_lab.interface import ServerSpec
from ftps_lab.servers import FtpsServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not here")


@pytest.fixture(scope="module")
def certificates() -> dict[str, Certificate]:
    between = CertificateSpec(issuer="root", common_name="between", names=(), ca=True, usage="absent")
    return issue(
        {
            "genuine": CertificateSpec(),
            "root": CertificateSpec(common_name="root", names=(), ca=True),
            "between": between,
            "leaf": CertificateSpec(issuer="between"),
        }
    )


def serve(
    certificates: dict[str, Certificate],
    root: Path,
    name: str = "genuine",
    chain: tuple[str, ...] = (),
    protocol: Literal["explicit", "implicit", "plain"] = "explicit",
) -> FtpsServer:
    spec = ServerSpec(
        certificate=None if protocol == "plain" else certificates[name],
        chain=tuple(certificates[each] for each in chain),
        protocol=protocol,
    )
    return FtpsServer(spec, root=root, password="secret")


@pytest.mark.parametrize("protocol", ["explicit", "implicit"])
def test_fetched_leaf_equals_the_served_one(
    certificates: dict[str, Certificate], tmp_path: Path, protocol: Literal["explicit", "implicit"]
) -> None:
    with serve(certificates, tmp_path, protocol=protocol) as server:
        fetched = fetch(server.host, server.port, protocol=protocol)
    assert fetched.certificates == (certificates["genuine"].pem,)
    assert fetched.leaf == certificates["genuine"].pem
    assert fetched.leaf in fetched.output
    assert b"Certificate chain" in fetched.output


def test_fetched_chain_starts_with_the_leaf(certificates: dict[str, Certificate], tmp_path: Path) -> None:
    with serve(certificates, tmp_path, "leaf", ("between", "root")) as server:
        fetched = fetch(server.host, server.port)
    assert fetched.certificates == tuple(certificates[name].pem for name in ("leaf", "between", "root"))


def test_command_line_equals_the_documents() -> None:
    assert " ".join(command_line("example.com", 21)) == (
        "openssl s_client -showcerts -connect example.com:21 -starttls ftp"
    )
    assert "-starttls" not in command_line("example.com", 990, protocol="implicit")
    assert command_line("::1", 21)[4] == "[::1]:21"
    assert command_line("127.0.0.1", 21, server_name="ftp.example.test")[-2:] == ("-servername", "ftp.example.test")


def test_server_name_is_sent_as_sni(certificates: dict[str, Certificate], tmp_path: Path) -> None:
    with serve(certificates, tmp_path) as server:
        server.record()
        fetch(server.host, server.port, server_name="ftp.example.test")
        server.settle()
        assert [h.server_name for h in server.testimony().handshakes] == ["ftp.example.test"]


def test_users_openssl_cnf_is_ignored(
    certificates: dict[str, Certificate], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configuration = tmp_path / "openssl.cnf"
    configuration.write_text("openssl_conf = x\n[x]\nssl_conf = y\n[y]\nsystem_default = z\n[z]\nMinProtocol = None?\n")
    monkeypatch.setenv("OPENSSL_CONF", str(configuration))
    with serve(certificates, tmp_path) as server:
        assert fetch(server.host, server.port).leaf == certificates["genuine"].pem


def test_server_without_tls_is_an_error(certificates: dict[str, Certificate], tmp_path: Path) -> None:
    with (
        serve(certificates, tmp_path, protocol="plain") as server,
        pytest.raises(HarnessError, match=r"openssl s_client .*-starttls ftp fetched no certificate: .+"),
    ):
        fetch(server.host, server.port, timeout=1)


def test_closed_port_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(HarnessError, match=r"fetched no certificate: .*[Cc]onnect"):
        fetch("127.0.0.1", port)


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that accepts connections and sends nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        held: list[socket.socket] = []

        def accept() -> None:
            held.append(listener.accept()[0])

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(5)
        for client in held:
            client.close()


def test_silent_server_is_an_error_after_the_timeout(silent_port: int) -> None:
    started = time.monotonic()
    with pytest.raises(HarnessError, match="did not show one within 1 seconds"):
        fetch("127.0.0.1", silent_port, timeout=1)
    assert time.monotonic() - started < 8


def test_missing_openssl_is_an_error_that_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HarnessError, match=r"no openssl on PATH.*apt install openssl"):
        fetch("127.0.0.1", 21)
