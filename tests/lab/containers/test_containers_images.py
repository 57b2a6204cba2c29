"""Image builds: contexts from a checkout or a wheel, tags by content, and builds that fail."""

from __future__ import annotations

import io
import os
import re
import subprocess
import tarfile
import tempfile
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import docker.errors
import pytest
import requests

import ftps_lab
from ftps_lab.containers import Engine, Image, context, ensure, images
from ftps_lab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(ftps_lab.__file__).parents[2]


def api_error(status: int, text: str, kind: type[docker.errors.APIError] = docker.errors.APIError) -> Exception:
    response = requests.Response()
    response.status_code = status
    return kind("an error", response=response, explanation=text)


def locked(path: str) -> dict[str, str]:
    """Versions by package."""
    return dict(re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", (REPOSITORY / path).read_text(), re.MULTILINE))


def test_lab_image_has_the_locked_packages() -> None:
    """It has everything that ftps-lab needs, in the versions of requirements.lock, and no development tool."""
    image, ours = locked("lab/images/lab/requirements.lock"), locked("requirements.lock")
    assert image.items() <= ours.items()
    needed = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["dependencies"]
    assert {re.split("[>=<]", each)[0].lower() for each in needed} <= image.keys()
    assert not {"pytest", "mypy", "ruff"} & image.keys()


def paths_in(packed: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        return tar.getnames()


LAB_PATHS = ("lab/ftps_lab", "harness/ftps_harness", "scenarios", "lab/images/lab")


def test_context_is_laid_out_like_the_repository() -> None:
    found = paths_in(context.pack(LAB_PATHS))
    for name in ("lab/ftps_lab/remote/agent.py", "lab/images/lab/Dockerfile", "lab/images/lab/requirements.lock"):
        assert name in found
    assert any(name.startswith("scenarios/document/") for name in found)
    assert not [name for name in found if "__pycache__" in name or name.endswith(".pyc") or "/." in name]


def test_wheel_and_checkout_give_the_same_context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wheel's layout is that of pyproject.toml; file times do not matter."""
    expected = context.pack(LAB_PATHS)
    site = tmp_path / "site-packages"
    for ours, theirs in context._IN_THE_WHEEL.items():
        subprocess.run(["mkdir", "-p", str((site / theirs).parent)], check=True)
        if (REPOSITORY / ours).exists():
            subprocess.run(["cp", "-r", "-T", str(REPOSITORY / ours), str(site / theirs)], check=True)
    monkeypatch.setattr(context, "_package", lambda: site / "ftps_lab")
    assert paths_in(context.pack(LAB_PATHS)) == paths_in(expected)
    assert context.pack(LAB_PATHS) == expected


def test_context_ignores_times_and_hidden_files_but_not_modes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "lab" / "images" / "x" / "Dockerfile"
    file.parent.mkdir(parents=True)
    file.write_text("FROM a")
    monkeypatch.setattr(context, "_package", lambda: tmp_path / "lab" / "ftps_lab")
    first = context.pack(["lab/images/x"])
    os.utime(file, (1, 1))
    (file.parent / ".hidden").touch()
    (file.parent / "link").symlink_to("Dockerfile")
    assert context.pack(["lab/images/x"]) == context.pack(["lab/images/x/Dockerfile"]) == first
    file.chmod(0o755)
    assert context.pack(["lab/images/x"]) != first
    with pytest.raises(LabError, match="lab/images/y: missing, but the container images are built from it"):
        context.pack(["lab/images/y"])


class FakeApi:
    """An engine with some images, and a build with preset output."""

    def __init__(self, *tags: str, log: tuple[dict[str, str], ...] = (), builds: bool = True) -> None:
        self.tags = list(tags)
        self.log = log
        self.builds = builds
        self.built: list[dict[str, Any]] = []
        self.used: set[str] = set()

    def inspect_image(self, tag: str) -> dict[str, str]:
        if tag not in self.tags:
            raise api_error(404, f"No such image: {tag}", docker.errors.ImageNotFound)
        return {"Id": f"sha256:{tag}"}

    def pull(self, name: str, tag: str) -> None:
        raise api_error(500, f"Get https://…/{name}/{tag}: no such host")

    def build(self, **more: Any) -> Iterator[dict[str, str]]:
        self.built.append(more)
        yield from self.log
        if self.builds:
            self.tags.append(more["tag"])

    def images(self, name: str = "") -> list[dict[str, Any]]:
        found = [(number, tag) for number, tag in enumerate(self.tags) if tag.startswith(name)]
        return [{"Created": number, "RepoTags": [tag]} for number, tag in found]

    def remove_image(self, tag: str) -> None:
        if tag in self.used:
            raise api_error(409, "image is being used by running container")
        self.tags.remove(tag)


@pytest.fixture(autouse=True)
def locks_below_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock files of builds stay in the temporary folder, because removing one is never safe."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def engine(api: FakeApi) -> Engine:
    return Engine(api, "here", "20.10")  # type: ignore[arg-type]


def image(**more: Any) -> Image:
    return Image(**{"name": "x", "dockerfile": "lab/images/lab/Dockerfile", "base": "debian:some", **more})


def test_image_is_built_once_with_its_base_and_arguments() -> None:
    api = FakeApi("debian:some")
    messages: list[str] = []
    tag = ensure(engine(api), image(arguments=(("PACKAGES", "p"),)), messages.append)
    assert ensure(engine(api), image(arguments=(("PACKAGES", "p"),)), messages.append) == tag
    assert [each["buildargs"] for each in api.built] == [{"BASE": "debian:some", "PACKAGES": "p"}]
    assert messages == ["building the image x; this happens once and takes about a minute"]


def test_tag_depends_on_every_ingredient_of_an_image() -> None:
    api = FakeApi("debian:some", "debian:other")
    different = [
        image(),
        image(name="y"),
        image(base="debian:other"),
        image(arguments=(("A", "1"),)),
        image(paths=("scenarios",)),
        image(base=image()),
    ]
    tags = [ensure(engine(api), each).rpartition(":")[2] for each in different]
    assert len(set(tags)) == len(tags)


def test_image_based_on_our_image_gets_its_tag_as_base() -> None:
    api = FakeApi("debian:some")
    ensure(engine(api), image(name="above", base=image()))
    assert api.built[1]["buildargs"]["BASE"] == api.built[0]["tag"]


def test_failed_build_shows_its_last_lines() -> None:
    log = tuple({"stream": f"line {number}\n"} for number in range(100))
    api = FakeApi("debian:some", log=(*log, {"error": "The command returned a non-zero code: 100"}))
    with pytest.raises(LabError, match="non-zero code: 100") as failed:
        ensure(engine(api), image())
    assert "line 99" in str(failed.value)
    assert "line 70\n" not in str(failed.value)


def test_full_disk_during_a_build_is_reported_as_such() -> None:
    api = FakeApi(
        "debian:some", log=({"stream": "E: Write error - No space left on device"}, {"error": "non-zero code: 100"})
    )
    with pytest.raises(LabError, match="the disk of the Docker engine is full"):
        ensure(engine(api), image())


def test_build_that_ends_without_an_image_is_an_error() -> None:
    api = FakeApi("debian:some", log=({"stream": "Step 1/2"},), builds=False)
    with pytest.raises(LabError, match=r"the build ended without producing the image x; its last lines:\n    Step 1/2"):
        ensure(engine(api), image())


def test_missing_base_image_names_the_script_that_builds_it() -> None:
    with pytest.raises(LabError, match=r"debian:some is not on this machine.*\.ci/base-images.*no such host"):
        ensure(engine(FakeApi()), image())


def test_build_removes_only_old_unused_tags_of_its_image() -> None:
    old = [f"ftps-lab/x:{number:016x}" for number in range(6)]
    strangers = ["ftps-lab/x:latest", "ftps-lab/xy:0000000000000000", "ftps-lab/x:0000000000000000-mine"]
    api = FakeApi("debian:some", *strangers, *old)
    api.used.add(old[1])
    tag = ensure(engine(api), image())
    assert api.tags == ["debian:some", *strangers, old[1], old[4], old[5], tag]


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("debian:bookworm-slim", ("debian", "bookworm-slim")),
        ("debian", ("debian", "latest")),
        ("host:5000/debian", ("host:5000/debian", "latest")),
        ("host:5000/debian:sid", ("host:5000/debian", "sid")),
    ],
)
def test_base_image_is_fetched_by_name_and_tag(name: str, parts: tuple[str, str]) -> None:
    """Without a tag, the engine would fetch all tags."""
    assert images._name_and_tag(name) == parts
