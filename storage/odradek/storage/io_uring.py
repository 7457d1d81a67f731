"""io_uring, as much of it as fdatasync needs: submit descriptors, hear of completions through an eventfd.

Decides nothing. Why at all: a Python thread that waits for a sync has to get the interpreter lock back twice for each
round, from a loop that is busy exactly then; the kernel's own workers do not. Linux 5.1 and newer; a container may
forbid it, and then the constructor raises OSError.

Memory order: entries are published by the system call that submits them, and completions are read after reading the
eventfd, which is a system call too.

Source: io_uring(7), io_uring_setup(2), io_uring_enter(2), io_uring_register(2).
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import sys
from struct import Struct
from typing import Final

_SETUP: Final = 425
_ENTER: Final = 426
_REGISTER: Final = 427
_REGISTER_EVENTFD: Final = 4
_OP_FSYNC: Final = 3
_FSYNC_DATASYNC: Final = 1
_MAP_POPULATE: Final = 0x8000
_OFFSET_OF_ENTRIES: Final = 0x10000000
_PARAMS_SIZE: Final = 120
_MAX_INTERRUPTIONS: Final = 100
_ENTRY: Final = Struct("<BBHiQQIIQ24x")
_COMPLETION: Final = Struct("<QiI")
_OFFSETS: Final = Struct("<7I")


def is_supported() -> bool:
    """Whether this kernel may have it; it can still refuse."""
    return sys.platform == "linux" and sys.byteorder == "little" and hasattr(os, "eventfd")


class SyncRing:
    """A ring for fdatasync. Not thread-safe. `event` becomes readable when something completed."""

    def __init__(self, entries: int = 64) -> None:
        """Raises OSError where the kernel or a sandbox refuses."""
        if not is_supported():
            raise OSError("io_uring is a Linux interface")
        # Why PyDLL: fsync is always handed to a kernel worker, so the call returns at once; giving up the interpreter
        # lock for it would cost more than the call.
        self._call = ctypes.PyDLL(None, use_errno=True).syscall
        params = bytearray(_PARAMS_SIZE)
        pointer = (ctypes.c_char * _PARAMS_SIZE).from_buffer(params)
        self._fd = self._system_call(_SETUP, entries, pointer)
        self.event = -1
        self._maps: list[mmap.mmap] = []
        try:
            self._map(params)
            self.event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            self._system_call(_REGISTER, self._fd, _REGISTER_EVENTFD, (ctypes.c_int * 1)(self.event), 1)
        except OSError:
            self.close()
            raise

    def _system_call(self, *arguments: object) -> int:
        result = int(self._call(*arguments))
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return result

    def _map(self, params: bytearray) -> None:
        self.capacity = int.from_bytes(params[0:4], "little")
        completions = int.from_bytes(params[4:8], "little")
        _, sq_tail, sq_mask, _, _, _, sq_array = _OFFSETS.unpack_from(params, 40)
        cq_head, cq_tail, cq_mask, _, _, cq_entries, _ = _OFFSETS.unpack_from(params, 80)
        size = max(sq_array + 4 * self.capacity, cq_entries + _COMPLETION.size * completions)
        flags = mmap.MAP_SHARED | _MAP_POPULATE
        self._ring = mmap.mmap(self._fd, size, flags=flags)
        self._entries = mmap.mmap(self._fd, 64 * self.capacity, flags=flags, offset=_OFFSET_OF_ENTRIES)
        self._words = memoryview(self._ring).cast("I")
        self._maps += self._ring, self._entries
        self._sq_tail, self._sq_array = sq_tail // 4, sq_array // 4
        self._cq_head, self._cq_tail, self._cq_entries = cq_head // 4, cq_tail // 4, cq_entries
        self._sq_mask = self._words[sq_mask // 4]
        self._cq_mask = self._words[cq_mask // 4]

    def submit(self, descriptors: list[int]) -> int:
        """Start an fdatasync of each, `capacity` at most and none under way. Their place in the list names them.

        How many, from the first on, are under way: a kernel short of memory does not take all. Raises OSError.
        """
        assert len(descriptors) <= self.capacity, f"{len(descriptors)} syncs, {self.capacity} places"
        words = self._words
        tail = words[self._sq_tail]
        for number, descriptor in enumerate(descriptors):
            place = (tail + number) & self._sq_mask
            _ENTRY.pack_into(
                self._entries, 64 * place, _OP_FSYNC, 0, 0, descriptor, 0, 0, 0, _FSYNC_DATASYNC, number
            )
            words[self._sq_array + place] = place
        words[self._sq_tail] = (tail + len(descriptors)) & 0xFFFFFFFF
        submitted = self._enter(len(descriptors))
        words[self._sq_tail] = (tail + submitted) & 0xFFFFFFFF  # the kernel looks at it in the call alone
        return submitted

    def _enter(self, count: int) -> int:
        submitted = interruptions = 0
        while submitted < count and interruptions < _MAX_INTERRUPTIONS:
            try:
                taken = self._system_call(_ENTER, self._fd, count - submitted, 0, 0, None, 0)
            except InterruptedError:
                interruptions += 1
                continue
            except OSError as error:
                if error.errno in (errno.EAGAIN, errno.EBUSY):
                    break
                raise
            if not taken:
                break
            submitted += taken
        return submitted

    def completed(self) -> list[tuple[int, int]]:
        """(place in the list, 0 or a negative errno) of what completed since the last call."""
        try:
            os.eventfd_read(self.event)
        except BlockingIOError:
            return []
        words = self._words
        head, tail = words[self._cq_head], words[self._cq_tail]
        found: list[tuple[int, int]] = []
        while head != tail:
            position = self._cq_entries + _COMPLETION.size * (head & self._cq_mask)
            number, result, _ = _COMPLETION.unpack_from(self._ring, position)
            found.append((number, result))
            head = (head + 1) & 0xFFFFFFFF
        words[self._cq_head] = head
        return found

    def close(self) -> None:
        """Give everything back; nothing may be under way."""
        if self._maps:
            self._words.release()
        for mapped in self._maps:
            mapped.close()  # it has a descriptor of its own
        self._maps.clear()
        if self.event >= 0:
            os.close(self.event)
            self.event = -1
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
