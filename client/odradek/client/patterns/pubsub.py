"""Publish/subscribe: every subscriber gets every record.

When: several parts of a system have to hear of the same thing (an order was placed: billing, mail, statistics),
each in its own time. Not to divide work: that is `WorkQueue`, or a `Consumer` in a group.

How: publishing is `Producer.publish`; nobody needs to know who listens. A subscriber without a name reads by itself
and remembers nothing: with "latest" it hears what is published while it runs (after `ready`), with "earliest" also all
that is kept. A subscriber with a `name` is a group of its own: the cluster remembers how far it is, so that it goes
on there after a restart, and `start` only counts the first time. Two processes with one name share the work of one.

Guaranteed: the order of each partition (so: of each key); the next record of this subscriber comes when the handler
has returned. With a name: at least once. An error of the handler ends `run`, and that record is not acknowledged:
handle what you can live with in the handler.

Not guaranteed: an order between partitions; without a name, anything about records while it does not run. Topics that
match a pattern and are created later are read as well, with "latest" from when they are noticed.

    async def on_order(record: ConsumerRecord) -> None:
        await mail.confirm(record.value)

    mailer = Subscriber("localhost:50051", on_order, topics=["orders"], name="mailer", start="earliest")
    audit = Subscriber("localhost:50051", audit_log.append, topic_pattern=r"orders\\..*", name="audit")
    async with running(mailer, audit):
        async with Producer("localhost:50051") as producer:
            await producer.publish("orders", b"{...}", key=b"customer-7")
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

from odradek.client.patterns.log_access import Log, log_of
from odradek.client.patterns.worker_lane import WorkerLane
from odradek.client.records import ConsumerRecord

if TYPE_CHECKING:
    from odradek.client.consumer import ConsumerSettings

Handler: TypeAlias = Callable[[ConsumerRecord], Awaitable[None]]


class Subscriber:
    """See the module. `topics`, or `topic_pattern`: a regular expression for whole names."""

    def __init__(
        self,
        servers: str | Log,
        handler: Handler,
        *,
        topics: Sequence[str] = (),
        topic_pattern: str | None = None,
        name: str | None = None,
        start: Literal["latest", "earliest"] = "latest",
    ) -> None:
        self._handler = handler
        self.handled_count = 0
        settings: ConsumerSettings = {
            "topics": topics,
            "topic_pattern": topic_pattern,
            "group_id": name,
            "offset_reset": start,
        }
        self._lane = WorkerLane(log_of(servers), self._handle, 1, settings)

    async def run(self) -> None:
        """Until `stop`. Raises what the handler raised. OdradekError: nothing can be read."""
        await self._lane.run()

    async def ready(self) -> None:
        await self._lane.ready()

    def stop(self) -> None:
        self._lane.stop()

    async def _handle(self, record: ConsumerRecord) -> bool:
        await self._handler(record)
        self.handled_count += 1
        return True
