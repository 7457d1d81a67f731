"""The proxy as the run and its nemeses see it: a process that is told what to do.

Decides: how it is started, asked and ended. Does not decide: how connections get to it (`nemesis.links`).
All methods block, for seconds at most, and may be called by several threads.
"""

from __future__ import annotations

import contextlib
import json
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from odradek.jepsen.proxy.behaviour import Behaviour, to_json

ANSWER_TIMEOUT_S = 10.0
START_TIMEOUT_S = 30.0


class ProxyError(OSError):
    """The proxy is gone, is silent, or refused a command."""


class Proxy:
    """A running proxy. `address` is where it listens, and what connections are diverted to."""

    def __init__(self, address: str = "127.0.0.1", inside: Sequence[str] = ()) -> None:
        """`inside` is what its command begins with, to enter a namespace: `network.entering(NAMESPACE, [])`.

        Raises ProxyError when it does not start.
        """
        self.address = address
        self._lock = threading.Lock()
        self._unread = b""
        self._process = subprocess.Popen(
            [*inside, sys.executable, "-m", "odradek.jepsen.proxy", address],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        if self._read_line(START_TIMEOUT_S) != b"ready":
            self.stop()
            raise ProxyError(f"the proxy did not start at {address}")

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def open(self, link: str, target: tuple[str, int], behaviour: Behaviour) -> int:
        """Returns the port at `address` that leads to the target. Raises ProxyError, also when the link is open."""
        told = self._ask({"do": "open", "link": link, "target": target, "behaviour": to_json(behaviour)})
        return int(told["port"])

    def change(self, link: str, behaviour: Behaviour) -> Mapping[str, int]:
        """For the connections of now, too; those that cannot change are reset. Returns the counts."""
        return self._counts({"do": "change", "link": link, "behaviour": to_json(behaviour)})

    def reset(self, link: str, *, deliver: bool = True) -> Mapping[str, int]:
        """Reset all connections of now; what was held back arrives now, or never. Returns the counts."""
        return self._counts({"do": "reset", "link": link, "deliver": deliver})

    def counts(self, link: str) -> Mapping[str, int]:
        """What happened in the link since it was opened: see `exchange`, `pace` and `relay` for the names."""
        return self._counts({"do": "counts", "link": link})

    def close(self, link: str, *, deliver: bool = True) -> Mapping[str, int]:
        """Its connections are reset; what was held back arrives first, now, or never (`deliver=False`).

        Returns the last counts. Takes two seconds at most.
        """
        return self._counts({"do": "close", "link": link, "deliver": deliver})

    def stop(self) -> None:
        """The process ends, and with it every connection."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended before
            self._process.stdin.close()
        try:
            self._process.wait(5.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def _counts(self, asked: Mapping[str, Any]) -> Mapping[str, int]:
        counts: dict[str, int] = self._ask(asked)["counts"]
        return counts

    def _ask(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        with self._lock:
            stdin = self._process.stdin
            assert stdin is not None
            try:
                stdin.write(json.dumps(asked).encode() + b"\n")
                stdin.flush()
            except (OSError, ValueError) as error:
                raise ProxyError(f"the proxy is gone ({error}); asked was {asked['do']}") from error
            told: dict[str, Any] = json.loads(self._read_line(ANSWER_TIMEOUT_S) or b"{}")
        if not told:
            raise ProxyError(f"no answer of the proxy to {asked['do']} of link {asked['link']}")
        if "error" in told:
            raise ProxyError(f"{asked['do']} of link {asked['link']}: {told['error']}")
        return told

    def _read_line(self, timeout_s: float) -> bytes:
        """A line without its end; nothing when the process has ended or says nothing in time."""
        stdout = self._process.stdout
        assert stdout is not None
        until = time.monotonic() + timeout_s
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            while b"\n" not in self._unread:
                if not selector.select(max(0.0, until - time.monotonic())):
                    return b""
                piece = stdout.read1(65536)  # type: ignore[attr-defined]
                if not piece:
                    return b""
                self._unread += piece
        line, _, self._unread = self._unread.partition(b"\n")
        return line
