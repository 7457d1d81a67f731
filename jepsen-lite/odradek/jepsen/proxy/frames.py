"""Cutting a stream of any pieces into Kafka's frames, which go on as they came.

Pure. Decides: where a frame ends. Does not decide: what is in it (`requests`).
Invariant: the frames that were returned, one after the other, are the bytes that were fed, up to the last frame's end.
"""

from __future__ import annotations

from struct import Struct

_LENGTH = Struct(">i")
FRAME_BYTES_MAX = 128 * 1024 * 1024


class FrameError(ValueError):
    """The stream is not Kafka's: a length below zero, or above what any broker takes."""


class Cutter:
    """One direction of one connection."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = bytearray()

    @property
    def rest(self) -> int:
        """Bytes of a frame that is not whole yet."""
        return len(self._rest)

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that are whole now, each with its length in front. Raises FrameError."""
        rest = self._rest
        if not rest and len(data) >= 4 and _LENGTH.unpack_from(data)[0] == len(data) - 4:
            return [data]
        rest += data
        frames: list[bytes] = []
        start, end = 0, len(rest)
        while end - start >= 4:
            (size,) = _LENGTH.unpack_from(rest, start)
            if not 0 <= size <= FRAME_BYTES_MAX:
                raise FrameError(f"a frame of {size} bytes")
            if end - start - 4 < size:
                break
            frames.append(bytes(rest[start : start + 4 + size]))
            start += 4 + size
        del rest[:start]
        return frames

    def take_rest(self) -> bytes:
        """What is left of a frame whose end will not come."""
        rest = bytes(self._rest)
        self._rest.clear()
        return rest
