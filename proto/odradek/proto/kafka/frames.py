"""Cutting a byte stream into Kafka frames (int32 length, then that many bytes), without copying what is whole.

Pure: the shell asks for a buffer, fills it, says how much arrived, and takes the frames out. All connections of a
loop share one receive buffer, because a reader is filled and drained in one turn: an idle connection therefore
owns no buffer at all. What is left of a small frame at the end of a turn is stashed; a frame that does not fit is
received into a buffer of its own, which grows with the bytes that really came, so a claimed length allocates
nothing (CVE-2022-34917).

Invariant: a frame returned by `next_frame` is valid until the next bytes arrive for any reader on that buffer.
Frames are writable views, so that offsets can be stamped in place.
"""

from __future__ import annotations

from struct import Struct

_LENGTH = Struct(">i")
_LARGE_FROM = 64 * 1024
_GROW_FROM = 4 * 1024


class FrameError(ValueError):
    """The peer broke the framing; its connection must be closed."""


class FrameReader:
    """One connection's position in its byte stream."""

    __slots__ = ("_end", "_frame_bytes_max", "_have", "_large", "_shared", "_size", "_start", "_window")

    def __init__(self, shared: memoryview, frame_bytes_max: int) -> None:
        assert len(shared) >= 2 * _LARGE_FROM, f"receive buffer of {len(shared)} bytes is too small"
        self._shared = shared
        self._frame_bytes_max = frame_bytes_max
        # Unconsumed bytes are _window[_start:_end]; between turns _window is a stash of our own.
        self._window: memoryview | None = None
        self._start = 0
        self._end = 0
        # A frame too large for the shared buffer: _have of its _size bytes are in _large.
        self._large: bytearray | None = None
        self._size = 0
        self._have = 0

    def get_buffer(self) -> memoryview:
        """Where the next bytes belong; never empty. Changes nothing; to be called after `settle`."""
        if self._large is not None:
            if self._have == len(self._large):
                self._grow()
            return memoryview(self._large)[self._have :]
        # Why nothing is moved here: the loop may ask for a buffer, read nothing into it, and serve another
        # connection with the same one next.
        kept = self._end - self._start
        assert kept < len(self._shared), f"{kept} bytes were not consumed before more are read"
        return self._shared[kept:]

    def buffer_updated(self, count: int) -> None:
        """`count` bytes were written to what `get_buffer` returned."""
        if self._large is not None:
            self._have += count
            return
        kept = self._end - self._start
        if self._window is not None:
            self._shared[:kept] = self._window[self._start : self._end]
        self._window = self._shared
        self._start, self._end = 0, kept + count

    def next_frame(self) -> memoryview | None:
        """The next whole frame without its length, or None when more bytes are needed.

        Raises FrameError for a negative length or one above the limit.
        """
        if self._large is not None:
            if self._have < self._size:
                return None
            frame = memoryview(self._large)
            self._large = None
            return frame
        window = self._window
        available = self._end - self._start
        if window is None or available < 4:
            return None
        start = self._start
        (size,) = _LENGTH.unpack_from(window, start)
        if not 0 <= size <= self._frame_bytes_max:
            raise FrameError(f"frame of {size} bytes; allowed are 0 to {self._frame_bytes_max}")
        if available - 4 >= size:
            self._start = start + 4 + size
            return window[start + 4 : start + 4 + size]
        if size >= _LARGE_FROM:
            self._have = available - 4
            self._size = size
            self._large = bytearray(min(size, max(_GROW_FROM, 2 * self._have)))
            self._large[: self._have] = window[start + 4 : self._end]
            self._start = self._end
        return None

    def settle(self) -> None:
        """End of a turn: the shared buffer is about to serve others, so keep what was not consumed."""
        if self._window is self._shared:
            kept = self._end - self._start
            self._window = memoryview(bytearray(self._window[self._start : self._end])) if kept else None
            self._start, self._end = 0, kept

    def _grow(self) -> None:
        assert self._large is not None
        # Why a new buffer: the event loop may still hold a view of the old one, and a viewed bytearray cannot grow.
        grown = bytearray(min(self._size, 2 * len(self._large)))
        grown[: self._have] = self._large
        self._large = grown
