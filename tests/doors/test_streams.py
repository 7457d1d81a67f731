"""How Consume streams live and end: cut, cancelled, half-closed, fenced, refused; and what the group makes of it."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.doors.conftest import NewTopic, NodeInside
from tests.doors.door import Door
from tests.doors.streams import StreamReader, Wire, assign, eventually, is_empty, send, subscribe

from odradek.node.app.consume import service
from odradek.v1 import record_service_pb2 as pb

OpenWire = Callable[..., Wire]
NewName = Callable[[], str]
ROOT = Path(__file__).parents[2]


# -- ends that the reader chooses


async def test_half_closing_commits_and_leaves(
    stream_door: str,
    kafka: Door,
    new_topic: NewTopic,
    new_name: NewName,
    open_wire: OpenWire,
    nothing_stays: None,
) -> None:
    topic, group = await new_topic(2), new_name()
    await send(kafka, topic, 10)
    first = subscribe(topic, group=group, commit_interval_ms=60_000)
    reader = await StreamReader.open(open_wire(stream_door), first)
    await reader.records(10)
    await reader.acknowledge((topic, 0, 3), (topic, 0, 6), (topic, 0, 5))
    await reader.leave()
    # Nothing to wait for: by the end of the stream it has happened.
    assert await kafka.committed(group) == {(topic, 0): (7, "")}
    assert (await kafka.describe(group)).state == "Empty"


async def test_half_closing_at_once(
    stream_door: str, kafka: Door, new_topic: NewTopic, new_name: NewName, open_wire: OpenWire
) -> None:
    topic, group = await new_topic(), new_name()
    for first in (subscribe(topic, group=group), subscribe(topic), assign({(topic, 0): None})):
        wire = open_wire(stream_door)
        await wire.write(first)
        await wire.half_close()
        assert await StreamReader(wire).ending() is None
    assert (await kafka.describe(group)).members == ()


async def test_commits_under_way_are_answered_before_the_end(
    stream_door: str, kafka: Door, new_topic: NewTopic, new_name: NewName, open_wire: OpenWire
) -> None:
    topic, group = await new_topic(), new_name()
    reader = await StreamReader.open(open_wire(stream_door), subscribe(topic, group=group))
    for request_id in range(5):
        offset = pb.CommitOffset(topic=topic, offset=request_id)
        commit = pb.Commit(offsets=[offset], request_id=request_id)
        await reader.wire.write(pb.ConsumeRequest(commit=commit))
    await reader.leave()
    assert reader.committed == {at: {(topic, 0): "NONE"} for at in range(5)}
    assert await kafka.committed(group) == {(topic, 0): (4, "")}


@pytest.mark.parametrize("way", ["cancel", "close the channel"])
async def test_a_stream_that_is_cut_commits_what_was_acknowledged(
    way: str,
    kafka: Door,
    new_topic: NewTopic,
    new_name: NewName,
    open_wire: OpenWire,
    nothing_stays: None,
) -> None:
    topic, group = await new_topic(), new_name()
    await send(kafka, topic, 10)
    wire = open_wire("grpc")
    reader = await StreamReader.open(wire, subscribe(topic, group=group, commit_interval_ms=60_000))
    await reader.records(10)
    await reader.acknowledge((topic, 0, 4))
    await reader.commit({})  # what is answered after the acknowledgement
    if way == "cancel":
        wire.cancel()
    else:
        await wire.carrier.close()  # type: ignore[attr-defined]
    await is_empty(kafka, group)
    assert await kafka.committed(group) == {(topic, 0): (5, "")}


CLIENT = """
import asyncio, sys, grpc.aio
from odradek.v1 import record_service_pb2 as pb
async def main(address, topic, group):
    channel = grpc.aio.insecure_channel(address)
    call = channel.stream_stream("/odradek.v1.RecordService/Consume",
        request_serializer=pb.ConsumeRequest.SerializeToString, response_deserializer=pb.ConsumeResponse.FromString)()
    await call.write(pb.ConsumeRequest(subscribe=pb.Subscribe(topics=[topic], group_id=group), credit=10))
    await call.read()
    sys.stdout.write("reading\\n"); sys.stdout.flush()
    while True:
        await call.read()
asyncio.run(main(*sys.argv[1:]))
"""


async def test_a_client_process_that_is_killed(
    node: NodeInside, kafka: Door, new_topic: NewTopic, new_name: NewName, nothing_stays: None
) -> None:
    topic, group = await new_topic(), new_name()
    client = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        CLIENT,
        node.grpc_address,
        topic,
        group,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    assert client.stdout is not None
    assert await client.stdout.readline() == b"reading\n"
    assert len((await kafka.describe(group)).members) == 1
    client.send_signal(signal.SIGKILL)
    await client.wait()
    await is_empty(kafka, group)


async def test_a_deadline_on_a_stream(
    node: NodeInside,
    kafka: Door,
    new_topic: NewTopic,
    new_name: NewName,
    open_wire: OpenWire,
    nothing_stays: None,
) -> None:
    topic, group = await new_topic(), new_name()
    reader = await StreamReader.open(open_wire("grpc", timeout_s=3), subscribe(topic, group=group))
    ended = await reader.ending()
    assert ended is not None and ended.status == "DEADLINE_EXCEEDED"
    await is_empty(kafka, group)


# -- what a successor gets


@pytest.mark.parametrize(("how", "expected"), [("acknowledge", 6), ("commit", 6), ("nothing", 0)])
async def test_what_a_successor_gets(
    how: str,
    expected: int,
    stream_door: str,
    kafka: Door,
    new_topic: NewTopic,
    new_name: NewName,
    open_wire: OpenWire,
) -> None:
    topic, group = await new_topic(), new_name()
    await send(kafka, topic, 10)
    reader = await StreamReader.open(open_wire(stream_door), subscribe(topic, group=group))
    await reader.records(10)
    if how == "acknowledge":
        await reader.acknowledge((topic, 0, 5))
    elif how == "commit":
        await reader.commit({(topic, 0): 6})
    await reader.leave()
    successor = await StreamReader.open(open_wire(stream_door), subscribe(topic, group=group))
    assert successor.assigned == {(topic, 0): expected}
    assert [one.offset for one in await successor.records(10 - expected)] == list(range(expected, 10))
    await successor.leave()


async def test_acknowledged_offsets_are_committed_before_long(
    stream_door: str, kafka: Door, new_topic: NewTopic, new_name: NewName, open_wire: OpenWire
) -> None:
    topic, group = await new_topic(), new_name()
    await send(kafka, topic, 10)
    reader = await StreamReader.open(
        open_wire(stream_door), subscribe(topic, group=group, commit_interval_ms=100)
    )
    await reader.records(10)
    for offset in (3, 8):
        await reader.acknowledge((topic, 0, offset))
        expected = {(topic, 0): (offset + 1, "")}
        await eventually(lambda: kafka.committed(group), lambda found: found == expected)  # noqa: B023
    await reader.leave()


# -- a place in the group


async def test_revoking_waits_for_what_is_under_way(
    stream_door: str, kafka: Door, new_topic: NewTopic, new_name: NewName, open_wire: OpenWire
) -> None:
    """By acknowledging in one round, by committing in the next."""
    topic, group = await new_topic(2), new_name()
    for partition in range(2):
        await send(kafka, topic, 10, partition)
    first = subscribe(topic, group=group, rebalance_timeout_ms=6000)
    reader = await StreamReader.open(open_wire(stream_door), first)
    await reader.records(20)
    await reader.acknowledge((topic, 0, 4))
    for how in ("acknowledge", "commit"):
        another = StreamReader(open_wire(stream_door))
        await another.wire.write(subscribe(topic, group=group))
        await reader.next("revoking")
        await send(kafka, topic, 1)
        if how == "acknowledge":
            await reader.acknowledge((topic, 0, 9), (topic, 1, 9))
        else:
            await reader.commit({(topic, 0): 11, (topic, 1): 11})
        await asyncio.gather(reader.next("assigned"), another.next("assigned"))
        assert len(reader.assigned) == len(another.assigned) == 1
        end = 10 if how == "acknowledge" else 11
        assert another.assigned[next(iter(another.assigned))] == end
        await another.leave()
        await reader.until_assigned(2)
        if how == "acknowledge":
            await send(kafka, topic, 1, 1)
            await reader.until(lambda: {one[:3] for one in reader.got} >= {(topic, 0, 10), (topic, 1, 10)})
            reader.got = []
    await reader.leave()


async def test_revoking_is_told_to_readers_that_commit(
    stream_door: str, kafka: Door, new_topic: NewTopic, new_name: NewName, open_wire: OpenWire
) -> None:
    """Not to acknowledge is no reason to be cut off: a reader that commits is waited for as well."""
    topic, group = await new_topic(2), new_name()
    await send(kafka, topic, 10)
    reader = await StreamReader.open(open_wire(stream_door), subscribe(topic, group=group))
    await reader.records(10)
    await reader.commit({(topic, 0): 5})
    another = StreamReader(open_wire(stream_door))
    await another.wire.write(subscribe(topic, group=group))
    await reader.until(lambda: reader.is_revoking or len(reader.assigned) == 1)
    assert reader.is_revoking
    await reader.commit({(topic, 0): 10}, 2)
    await asyncio.gather(reader.until_assigned(1), another.next("assigned"))
    await asyncio.gather(reader.leave(), another.leave())


async def test_an_instance_takes_the_place_of_its_predecessor(
    stream_door: str, kafka: Door, new_topic: NewTopic, new_name: NewName, open_wire: OpenWire
) -> None:
    topic, group = await new_topic(4), new_name()
    names = ("one", "two")
    readers = [StreamReader(open_wire(stream_door)) for _ in names]
    for reader, name in zip(readers, names, strict=True):
        await reader.wire.write(subscribe(topic, group=group, instance_id=name))
    await asyncio.gather(*(reader.until_assigned(2) for reader in readers))
    old, other = readers
    generation = old.generation
    new = await StreamReader.open(open_wire(stream_door), subscribe(topic, group=group, instance_id="one"))
    assert set(new.assigned) == set(old.assigned) and new.generation == generation
    ended = await old.ending()
    assert ended is not None and (ended.status, ended.reason) == ("ABORTED", "FENCED_INSTANCE_ID")
    # The fenced one took nothing with it, and the other has noticed nothing.
    for partition in range(4):
        await send(kafka, topic, 1, partition)
    await asyncio.gather(new.records(2), other.records(2))
    assert other.generation == generation
    view = await kafka.describe(group)
    assert view.state == "Stable" and [one.instance_id for one in view.members] == ["one", "two"]
    await new.leave()
    await other.until_assigned(4)
    await other.leave()


class Grace:
    """`asyncio` as the service of streams sees it: its grace for instances that were cut lasts until it is over."""

    def __init__(self) -> None:
        self.over = asyncio.Event()

    async def sleep(self, pause_s: float) -> None:
        assert pause_s == service.RECONNECT_GRACE_S
        await self.over.wait()

    def __getattr__(self, name: str) -> object:
        return getattr(asyncio, name)


@pytest.fixture
def grace(monkeypatch: pytest.MonkeyPatch) -> Iterator[Grace]:
    """No reader of a busy machine is late to come back."""
    grace = Grace()
    monkeypatch.setattr(service, "asyncio", grace)
    yield grace
    grace.over.set()


@pytest.mark.parametrize("way", ["cancel", "close the channel"])
async def test_a_cut_stream_of_an_instance_comes_back_without_a_rebalance(
    way: str,
    node: NodeInside,
    kafka: Door,
    new_topic: NewTopic,
    new_name: NewName,
    open_wire: OpenWire,
    grace: Grace,
) -> None:
    topic, group = await new_topic(4), new_name()
    names = ("one", "two")
    wires = [open_wire("grpc") for _ in names]
    readers = [StreamReader(wire) for wire in wires]
    for reader, name in zip(readers, names, strict=True):
        await reader.wire.write(subscribe(topic, group=group, instance_id=name, session_timeout_ms=6000))
    await asyncio.gather(*(reader.until_assigned(2) for reader in readers))
    generation, mine = readers[0].generation, set(readers[0].assigned)
    for _ in range(10):
        if way == "cancel":
            wires[0].cancel()
        else:
            await wires[0].carrier.close()  # type: ignore[attr-defined]
        wires[0] = open_wire("grpc")
        first = subscribe(topic, group=group, instance_id="one", session_timeout_ms=6000)
        back = await StreamReader.open(wires[0], first)
        assert (back.generation, set(back.assigned)) == (generation, mine)

    async def waited_for() -> int:
        return len(node.services.consume._farewells)

    grace.over.set()  # the streams that were cut give up their place now, which is no longer theirs
    await eventually(waited_for, lambda found: found == 0)
    view = await kafka.describe(group)
    assert view.state == "Stable" and [one.instance_id for one in view.members] == ["one", "two"]


async def test_an_instance_that_ends_while_it_joins_is_no_ghost(
    stream_door: str, kafka: Door, new_topic: NewTopic, new_name: NewName, open_wire: OpenWire
) -> None:
    """The rebalance waits for a member that says nothing; whoever half-closes meanwhile is not waited for."""
    topic, group = await new_topic(2), new_name()
    await send(kafka, topic, 2)
    slow = await StreamReader.open(open_wire(stream_door), subscribe(topic, group=group))
    await slow.records(2)
    await slow.acknowledge((topic, 0, 0))  # so a rebalance waits for the other
    wire = open_wire(stream_door)
    await wire.write(subscribe(topic, group=group, instance_id="ghost", session_timeout_ms=60_000))
    await slow.next("revoking")
    await wire.half_close()
    assert await StreamReader(wire).ending() is None
    await slow.acknowledge((topic, 0, 1))
    await slow.until_assigned(2)
    assert len((await kafka.describe(group)).members) == 1
    await slow.leave()


async def test_the_client_id_is_shown(
    kafka: Door, new_topic: NewTopic, new_name: NewName, open_wire: OpenWire
) -> None:
    topic, group = await new_topic(), new_name()
    for client_id, shown in (("my-reader", "my-reader"), (None, "odradek-grpc")):
        reader = await StreamReader.open(open_wire("grpc", client_id), subscribe(topic, group=group))
        (member,) = (await kafka.describe(group)).members
        assert member.client_id == shown
        await reader.leave()
