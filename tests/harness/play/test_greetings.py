"""lftp works for a whole session after unusual greetings of the ordinary server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pytest

from ftps_harness.play.attempt import Request
from ftps_harness.play.session import Session
from ftps_lab.certificates import CertificateSpec, issue
from ftps_lab.interface import ServerSpec

if TYPE_CHECKING:
    from ftps_harness.client.lftp import Lftp
    from ftps_harness.play.places.sealed import Sealed

pytestmark = [pytest.mark.lftp, pytest.mark.usefixtures("sealed_here")]

HOST = "ftp.example.org"


@pytest.mark.parametrize("protocol", ["explicit", "implicit"])
@pytest.mark.parametrize("in_pieces", [False, True])
@pytest.mark.parametrize("greeting", ["one line", "several\n\n530 lines\n220 of them\nready"])
def test_lftp_lists_downloads_and_uploads_after_the_greeting(
    sealed: Sealed, client: Lftp, protocol: Literal["explicit", "implicit"], in_pieces: bool, greeting: str
) -> None:
    leaf = issue({"leaf": CertificateSpec(names=(HOST,))})["leaf"]
    with Session(sealed, client) as session:
        spec = ServerSpec(protocol=protocol, certificate=leaf, greeting=greeting, greeting_in_pieces=in_pieces)
        session.serve(spec, host=HOST)
        session.home.put_file("pin.crt", leaf.pem)
        request = Request(host=HOST, rc='set ssl:ca-file "~/.lftp/pin.crt"\n', run=("list", "get", "put"))
        assert session.attempt(request).outcome.verdict == "accepted"
