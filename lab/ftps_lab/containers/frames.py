"""Parse an engine's stream: frames that carry a container's stdout and stderr together.

Pure. Docker Engine API, "Attach to a container": eight bytes of header (which stream, three times zero, the length as
a big-endian number of four bytes), then as many bytes of content. The network may split them anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ftps_lab.errors import LabError

HEADER = 8
STDOUT = 1
STDERR = 2


@dataclass(slots=True)
class Frames:
    """Parses bytes as they arrive, and returns the content of each stream.

    A frame's content is returned as it arrives, even before the frame is complete.
    """

    _header: bytearray = field(default_factory=bytearray)
    _stream: int = 0
    _left: int = 0

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """The content in these bytes: which stream, and its next bytes.

        Raises:
            LabError: The bytes are not frames.
        """
        said: list[tuple[int, bytes]] = []
        view = memoryview(data)
        while view:
            if self._left:
                part, view = view[: self._left], view[self._left :]
                self._left -= len(part)
                said.append((self._stream, bytes(part)))
                continue
            missing = HEADER - len(self._header)
            self._header += view[:missing]
            view = view[missing:]
            if len(self._header) == HEADER:
                self._begin()
        return said

    def _begin(self) -> None:
        header, self._header = bytes(self._header), bytearray()
        if header[0] not in {0, STDOUT, STDERR} or any(header[1:4]):
            raise LabError(
                f"the Docker engine's stream does not consist of frames (it sent {header!r}); please report this bug "
                f"with the engine's version"
            )
        self._stream = header[0]
        self._left = int.from_bytes(header[4:], "big")
