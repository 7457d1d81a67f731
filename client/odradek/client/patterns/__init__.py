"""What people come to a log for: queue, publish/subscribe, request and reply, idempotence, event sourcing, saga.

Each is a small module over `Producer` and `Consumer`, whose docstring says when to use it, what it guarantees, and
what it does not. Names are imported at first use. Programs to run: client/examples/patterns.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from odradek.client.patterns.choreography import Participant, Reaction, SagaEvent, emit
    from odradek.client.patterns.event_fold import Aggregate, ConflictError, Event, StoredEvent
    from odradek.client.patterns.event_sourcing import EventStore
    from odradek.client.patterns.idempotent import IdempotentHandler, MemorySeenStore, TopicSeenStore
    from odradek.client.patterns.log_access import Cluster
    from odradek.client.patterns.pubsub import Subscriber
    from odradek.client.patterns.read_model import ReadModel
    from odradek.client.patterns.redriving import redrive
    from odradek.client.patterns.request_reply import RemoteError, Requester, Responder
    from odradek.client.patterns.retry_policy import Reject, RetryPolicy
    from odradek.client.patterns.saga import Saga, SagaRunner, Step, StepContext
    from odradek.client.patterns.service import running
    from odradek.client.patterns.snapshots import MemorySnapshots, SnapshotTopic
    from odradek.client.patterns.work_queue import WorkQueue

__all__ = [
    "Aggregate",
    "Cluster",
    "ConflictError",
    "Event",
    "EventStore",
    "IdempotentHandler",
    "MemorySeenStore",
    "MemorySnapshots",
    "Participant",
    "Reaction",
    "ReadModel",
    "Reject",
    "RemoteError",
    "Requester",
    "Responder",
    "RetryPolicy",
    "Saga",
    "SagaEvent",
    "SagaRunner",
    "SnapshotTopic",
    "Step",
    "StepContext",
    "StoredEvent",
    "Subscriber",
    "TopicSeenStore",
    "WorkQueue",
    "emit",
    "redrive",
    "running",
]

_MODULES = {
    "Aggregate": "event_fold",
    "Cluster": "log_access",
    "ConflictError": "event_fold",
    "Event": "event_fold",
    "EventStore": "event_sourcing",
    "IdempotentHandler": "idempotent",
    "MemorySeenStore": "idempotent",
    "MemorySnapshots": "snapshots",
    "Participant": "choreography",
    "Reaction": "choreography",
    "ReadModel": "read_model",
    "Reject": "retry_policy",
    "RemoteError": "request_reply",
    "Requester": "request_reply",
    "Responder": "request_reply",
    "RetryPolicy": "retry_policy",
    "Saga": "saga",
    "SagaEvent": "choreography",
    "SagaRunner": "saga",
    "SnapshotTopic": "snapshots",
    "Step": "saga",
    "StepContext": "saga",
    "StoredEvent": "event_fold",
    "Subscriber": "pubsub",
    "TopicSeenStore": "idempotent",
    "WorkQueue": "work_queue",
    "emit": "choreography",
    "redrive": "redriving",
    "running": "service",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
