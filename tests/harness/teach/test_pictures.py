"""docs/pictures shows what the runs draw; a picture that differs is noticed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from ftps_harness.teach import pictures

if TYPE_CHECKING:
    from ftps_harness.client.lftp import Lftp

FOLDER = Path(__file__).parents[3] / "docs" / "pictures"
NAMES = {"interceptor", "control-and-data", "downgrade-timeline", "same-certificate-other-key"}


@pytest.fixture(scope="module")
def drawn(client: Lftp) -> dict[str, str]:
    """The pictures that the runs draw now."""
    return pictures.pictures(client)


@pytest.mark.lftp
def test_committed_pictures_are_up_to_date(drawn: dict[str, str]) -> None:
    assert set(drawn) == {f"{name}.svg" for name in NAMES} == {path.name for path in FOLDER.iterdir()}
    for name, text in drawn.items():
        assert (FOLDER / name).read_text("utf-8") == text, f"{name}: look at `make pictures`"


@pytest.mark.lftp
def test_picture_has_a_title_and_a_description(drawn: dict[str, str]) -> None:
    for text in drawn.values():
        root = ET.fromstring(text)  # noqa: S314 - our own file
        space = "{http://www.w3.org/2000/svg}"
        assert root.get("role") == "img"
        assert root.findtext(f"{space}title")
        assert len(root.findtext(f"{space}desc") or "") > 100
    assert "PASS (password readable)" in drawn["interceptor.svg"]
    assert "Public key, SHA-256: A, B (differs)" in drawn["same-certificate-other-key.svg"]


@pytest.mark.lftp
def test_check_names_an_outdated_picture(
    tmp_path: Path, drawn: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pictures, "pictures", lambda _: drawn)
    assert pictures.main([str(tmp_path)]) == 0
    assert pictures.main(["--check", str(tmp_path)]) == 0
    (tmp_path / "interceptor.svg").write_text("<svg/>")
    assert pictures.main(["--check", str(tmp_path)]) == 1
    assert "interceptor.svg" in capsys.readouterr().out
