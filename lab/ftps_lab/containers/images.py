"""The container images: built once from the repository's files, then found again by their content.

An image's tag is the hash of all its inputs: its files, its arguments and the exact image that it is built on.
An unchanged image is not built again; a changed one cannot be mistaken for the old one.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftps_lab.containers.context import pack
from ftps_lab.containers.failures import DISK_FULL, NO_SPACE
from ftps_lab.errors import LabError
from ftps_lab.interface import LAB_KIND

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ftps_lab.containers.engine import Engine

REPOSITORY = "ftps-lab"
"""Prefix of all our image names."""

KEPT = 3
"""Number of newest tags of an image to keep, so that two checkouts do not remove each other's."""

_OUR_TAG = r":[0-9a-f]{16}"
"""The form of an image's tag from `ensure`; the lab removes no other tag of the repository."""

_BUILD_SECONDS = 1800
"""Time limit for a build step without output."""

_LOG_LINES = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """How an image is built.

    Attributes:
        name: Its repository is ``ftps-lab/<name>``.
        dockerfile: Its path in the repository.
        paths: The repository's files and folders that it is built from; the Dockerfile is always included.
        base: The value of its build argument BASE: a foreign image, or one of ours.
        arguments: Further build arguments, by name.
    """

    name: str
    dockerfile: str
    base: str | Image
    paths: tuple[str, ...] = ()
    arguments: tuple[tuple[str, str], ...] = ()

    @property
    def repository(self) -> str:
        """The repository of its tags."""
        return f"{REPOSITORY}/{self.name}"


_SOURCES = ("lab/ftps_lab", "lab/images/lab")


def _of_the_lab(name: str, packages: str = "") -> Image:
    """The servers' images differ only in Debian's packages, which come before our sources: those change often."""
    arguments = (("PACKAGES", packages),) if packages else ()
    return Image(
        name=name,
        dockerfile="lab/images/lab/Dockerfile",
        base="debian:bookworm-slim",
        paths=_SOURCES,
        arguments=arguments,
    )


LAB = _of_the_lab(LAB_KIND)
_VSFTPD = _of_the_lab("vsftpd", "vsftpd libpam-pwdfile libnss-wrapper")

SERVERS = {
    LAB_KIND: LAB,
    "vsftpd": _VSFTPD,
    "vsftpd-reuse": _VSFTPD,
    "proftpd": _of_the_lab("proftpd", "proftpd-core proftpd-mod-crypto proftpd-mod-vroot libnss-wrapper"),
    "pure-ftpd": _of_the_lab("pure-ftpd", "pure-ftpd libnss-wrapper"),
}
"""The image of each kind of server (`ftps_lab.interface.LAB_KIND`, `ftps_lab.daemons.DAEMONS`)."""


def ensure(engine: Engine, image: Image, say: Callable[[str], None] | None = None) -> str:
    """Make an image available; build it and its base if they are missing.

    Args:
        engine: The engine.
        image: The image.
        say: Called with a message before a step that takes long.

    Returns:
        Its name and tag.

    Raises:
        LabError: A base image is not available, or the build failed; with its last lines.
    """
    base = ensure(engine, image.base, say) if isinstance(image.base, Image) else image.base
    base_id = _base_id(engine, base, say)
    files = pack(sorted({*image.paths, image.dockerfile.rpartition("/")[0]}))
    tag = f"{image.repository}:{_hash(image, files, base_id)}"
    if _id_of(engine, tag) is None:
        with _alone(image):
            if _id_of(engine, tag) is None:  # another process may have built it while we waited
                if say is not None:
                    say(f"building the image {image.name}; this happens once and takes about a minute")
                _build(engine, image, tag, files, base)
                _tidy(engine, image, tag)
    return tag


def _hash(image: Image, files: bytes, base_id: str) -> str:
    hashed = hashlib.sha256(files)
    hashed.update(repr((image.name, image.dockerfile, image.arguments, base_id)).encode())
    return hashed.hexdigest()[:16]


def _id_of(engine: Engine, tag: str) -> str | None:
    from docker.errors import ImageNotFound

    with engine.errors(f"look for the image {tag}"):
        try:
            found: str = engine.api.inspect_image(tag)["Id"]  # type: ignore[no-untyped-call]  # types-docker
        except ImageNotFound:
            return None
        return found


BASES = tuple(f"debian:{suite}-slim" for suite in ("bookworm", "bullseye", "trixie", "sid"))
"""The bases of all our images."""


def why_no_bases(engine: Engine, *, fetch: bool = False) -> str:
    """The base images that this machine lacks and how to get them, as a sentence; empty if all are there.

    Args:
        engine: The engine.
        fetch: Fetch missing images, as a build would.

    Raises:
        LabError: The engine refuses the query.
    """
    missing = [base for base in BASES if _id_of(engine, base) is None]
    if fetch:
        try:
            for base in list(missing):
                _base_id(engine, base, None)
                missing.remove(base)
        except LabError:
            pass  # the registry will not have the next one either
    if not missing:
        return ""
    return (
        f"not on this machine: {', '.join(missing)}; they are fetched when first needed. Without access to a "
        f"registry, build them with `.ci/base-images` from ftps-lab's repository (on Debian, as root)"
    )


def _base_id(engine: Engine, base: str, say: Callable[[str], None] | None) -> str:
    found = _id_of(engine, base)
    if found is None:
        if say is not None:
            say(f"fetching the image {base}; this happens once")
        try:
            with engine.errors(f"fetch the image {base}"):
                engine.api.pull(*_name_and_tag(base))
        except LabError as error:
            raise LabError(
                f"the base image {base} is not on this machine and cannot be fetched. Without access to a registry, "
                f"build it with `.ci/base-images` from ftps-lab's repository (on Debian, as root). {error}"
            ) from error
        found = _id_of(engine, base)
    if found is None:
        raise LabError(f"the base image {base} was fetched, but removed again; run this again")
    return found


def _name_and_tag(image: str) -> tuple[str, str]:
    name, colon, tag = image.rpartition(":")
    return (name, tag) if colon and "/" not in tag else (image, "latest")


def _build(engine: Engine, image: Image, tag: str, files: bytes, base: str) -> None:
    log: list[str] = []
    with engine.errors(f"build the image {image.name}"):
        for message in engine.api.build(
            fileobj=io.BytesIO(files),
            custom_context=True,
            dockerfile=image.dockerfile,
            tag=tag,
            buildargs={"BASE": base, **dict(image.arguments)},
            rm=True,
            forcerm=True,
            decode=True,
            timeout=_BUILD_SECONDS,
        ):
            _follow(image, message, log)
    if _id_of(engine, tag) is None:
        raise LabError(f"the build ended without producing the image {image.name}; its last lines:\n{_last(log)}")


def _follow(image: Image, message: dict[str, Any], log: list[str]) -> None:
    if error := message.get("error"):
        if NO_SPACE in (str(error) + _last(log)).lower():
            raise LabError(f"cannot build the image {image.name}: {DISK_FULL}")
        raise LabError(
            f"cannot build the image {image.name} from {image.dockerfile}: {str(error).strip()}; the last lines of "
            f"the build:\n{_last(log)}"
        )
    log += [line for line in str(message.get("stream", "")).splitlines() if line.strip()]


def _last(log: Iterable[str]) -> str:
    return "\n".join(f"    {line}" for line in list(log)[-_LOG_LINES:])


def _tidy(engine: Engine, image: Image, tag: str) -> None:
    """Remove old tags of an image that no container uses; skip those that cannot be removed."""
    from docker.errors import APIError

    with engine.errors(f"list the tags of {image.repository}"):
        found = engine.api.images(name=image.repository)
    newest = sorted(found, key=lambda each: int(each.get("Created", 0)), reverse=True)
    tags = [each for one in newest for each in one.get("RepoTags") or [] if each != tag]
    ours = re.compile(re.escape(image.repository) + _OUR_TAG)
    for old in [each for each in tags if ours.fullmatch(each)][KEPT - 1 :]:
        with contextlib.suppress(APIError):
            engine.api.remove_image(old)  # without force, the engine refuses while a container uses it


@contextlib.contextmanager
def _alone(image: Image) -> Iterator[None]:
    """Allow one build of an image at a time on this machine; if the lock is impossible, the engine copes with two."""
    path = Path(tempfile.gettempdir(), f"ftps-lab-{os.getuid()}-{image.name.replace('/', '-')}.lock")
    try:
        lock = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError:
        yield
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
