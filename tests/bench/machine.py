"""Facts about the machine, and the one-time touch of its memory.

Decides: what is told beside the figures, how memory is warmed. Does not decide: what is measured.
On a virtual machine the first use of a memory page faults in the host; a broker that fills the page cache
first would pay for it and its rival would not, so most of the free memory is touched once before measuring.
"""

from __future__ import annotations

import mmap
import os
import platform
from pathlib import Path

_CHUNK = 64 << 20


def facts() -> dict[str, str]:
    """Name -> value, in the order in which they are printed."""
    load = os.getloadavg()
    return {
        "cores": str(os.cpu_count()),
        "processor": _first_value("/proc/cpuinfo", "model name"),
        "memory": f"{meminfo_bytes('MemTotal') / (1 << 30):.1f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "load average at start": " ".join(f"{value:.2f}" for value in load),
    }


def _first_value(path: str, name: str) -> str:
    for line in Path(path).read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return "unknown"


def meminfo_bytes(name: str) -> int:
    """A field of /proc/meminfo in bytes."""
    return int(_first_value("/proc/meminfo", name).split()[0]) * 1024


def touch_memory(fraction: float = 0.6) -> int:
    """Write to that fraction of the available memory once and give it back; returns the bytes touched."""
    size = int(meminfo_bytes("MemAvailable") * fraction) // _CHUNK * _CHUNK
    if size == 0:
        return 0
    pattern = b"\x5a" * _CHUNK
    with mmap.mmap(-1, size) as memory:
        for position in range(0, size, _CHUNK):
            memory[position : position + _CHUNK] = pattern
    return size
