"""lftp accepts a pinned certificate full of hostile text, so a tool that pins one can be judged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ftps_harness.play.attempt import Request
from ftps_harness.play.session import Session
from ftps_lab.certificates import hostile
from ftps_lab.interface import ServerSpec
from ftps_lab.scripted.texts import HOSTILE_TEXT

if TYPE_CHECKING:
    from ftps_harness.client.lftp import Lftp
    from ftps_harness.play.places.sealed import Sealed

pytestmark = [pytest.mark.lftp, pytest.mark.usefixtures("sealed_here")]

HOST = "backup.example"


@pytest.mark.parametrize("name", HOSTILE_TEXT)
def test_hostile_certificate_is_fetched_and_accepted_if_pinned(sealed: Sealed, client: Lftp, name: str) -> None:
    """Long text appears only in the comment: both libraries reject it in a subject."""
    text = HOSTILE_TEXT[name]
    short = text if len(text) < 1000 else b"x" * 1000
    certificate = hostile(HOST, {"CN": short, "O": short}, names=[short], comment=text)
    with Session(sealed, client) as session:
        session.serve(ServerSpec(certificate=certificate), host=HOST)
        assert sealed.fetch(session.server, "explicit") == certificate.pem
        session.home.put_file("pin.crt", certificate.pem)
        request = Request(host=HOST, rc='set ssl:ca-file "~/.lftp/pin.crt"\n', run=("list", "get"))
        assert session.attempt(request).outcome.verdict == "accepted"
