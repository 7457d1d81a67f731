"""Whether a node works and whether it serves, in words. Pure: it asks the parts that know.

A node is ready when it has joined its cluster, is not fenced as far as the last heartbeat told, and was heard within a
session: the same as what lets it acknowledge. It is alive while it can go on; a node that waits for a quorum is alive,
because starting it again would not help.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Lifecycle(Protocol):
    @property
    def is_serving(self) -> bool:
        """Registered and not fenced, as far as the last heartbeat told."""


class Lease(Protocol):
    def is_held(self) -> bool: ...


class NodeHealth:
    """`Health` of a node: `lifecycle` is None for one that is alone in its cluster, or has not registered yet."""

    def __init__(
        self,
        failure: Callable[[], BaseException | None],
        is_joined: Callable[[], bool],
        lifecycle: Callable[[], Lifecycle | None],
        lease: Lease,
    ) -> None:
        self._failure = failure
        self._is_joined = is_joined
        self._lifecycle = lifecycle
        self._lease = lease

    def live(self) -> list[str]:
        """See `Health.live`."""
        failure = self._failure()
        return [] if failure is None else [f"the node cannot go on: {failure!r}"]

    def ready(self) -> list[str]:
        """See `Health.ready`."""
        problems = self.live()
        lifecycle = self._lifecycle()
        if lifecycle is not None and not lifecycle.is_serving:
            problems.append("the controller has fenced this node, or does not know yet that it has caught up")
        elif not self._is_joined():
            problems.append("the node has not joined its cluster yet, or is leaving it")
        elif not self._lease.is_held():
            problems.append("no controller has confirmed a heartbeat within broker.session.timeout.ms")
        return problems
