"""A whole scrape: in slices, once for all who ask together, and as tools for Prometheus want it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator

import pytest
from tests.unit.node.http_api.fakes import FakeHealth, FakeNode, fake_node, parsed, series, value

from odradek.node.controller.image import PartitionImage
from odradek.node.http_api import scrape as module
from odradek.node.http_api.scrape import Scraper
from odradek.proto.kafka.api import ApiKey
from odradek.storage.durations import SUM

OPENMETRICS = "application/openmetrics-text;version=1.0.0"


@pytest.fixture
def node() -> Iterator[FakeNode]:
    """With something in every family."""
    with fake_node() as made:
        made.add_broker(1)
        made.add_topic("t", PartitionImage((1, 2), (1,), 1), PartitionImage((2, 1), (2,), -1))
        made.replicas.open("t", 0, 3, 50, 4096)
        made.shards[0].commit("g", "t", {0: 40})
        made.shards[0].live("g", "member")
        made.traffic.of("t").bytes_in = 7
        durations = made.request_durations[ApiKey.PRODUCE]
        durations[20] += 1
        durations[SUM] += 1_000_000
        yield made


def scraper(node: FakeNode) -> Scraper:
    return Scraper(node.sources, FakeHealth())


async def text(node: FakeNode, accept: str = "") -> str:
    return b"".join((await scraper(node).scrape(accept)).chunks).decode()


async def test_both_formats_say_the_same(node: FakeNode) -> None:
    plain = series(await text(node))
    openmetrics = series(await text(node, OPENMETRICS), openmetrics=True)
    changing = re.compile(r"process_|python_gc_")
    assert {k: v for k, v in plain.items() if not changing.match(k[0])} == {
        k: v for k, v in openmetrics.items() if not changing.match(k[0])
    }
    assert value(plain, "kafka_consumergroup_lag", consumergroup="g", topic="t", partition="0") == 10


async def test_who_asks_while_a_scrape_runs_gets_the_same_one(node: FakeNode) -> None:
    one = scraper(node)
    first, second, other = await asyncio.gather(one.scrape(""), one.scrape(""), one.scrape(OPENMETRICS))
    assert first is second
    assert other.content_type != first.content_type
    assert await one.scrape("") is not first


async def test_one_who_goes_away_does_not_end_it_for_the_others(node: FakeNode) -> None:
    one = scraper(node)
    leaving = asyncio.ensure_future(one.scrape(""))
    staying = asyncio.ensure_future(one.scrape(""))
    await asyncio.sleep(0)
    leaving.cancel()
    assert (await staying).chunks


async def test_the_loop_goes_on_between_the_slices(node: FakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SLICE_S", 0.0)  # a turn after every step: what is counted are the steps
    node.add_topic("many", *[PartitionImage((1, 2, 3), (1, 2, 3), 1)] * 10_000)
    for index in range(10_000):
        node.replicas.open("many", index, 0, index, 100)
    node.shards[1].commit("large", "many", dict.fromkeys(range(10_000), 1))
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    waiting = asyncio.ensure_future(others())
    found = await text(node)
    waiting.cancel()
    assert found.count("\nkafka_topic_partition_current_offset{") == 10_001
    assert found.count("\nkafka_consumergroup_lag{") == 10_001
    assert turns > 3 * 10_000 / 64


# -- what tools for Prometheus want

UNITS = {"s", "ms", "us", "ns", "sec", "b", "kb", "mb", "gb", "tb", "pb", "m", "h", "d"}


def complaints(text: str) -> list[str]:
    """The rules of `promtool check metrics`; tests/compat/test_metrics.py asks the program itself."""
    found: list[str] = []
    for family in parsed(text):
        name = family.name + ("_total" if family.type == "counter" else "")
        if not family.documentation:
            found.append(f"{name}: no help text")
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            found.append(f"{name}: not in snake case")
        if family.type in name.split("_"):
            found.append(f"{name}: has its type in its name")
        if UNITS & set(name.split("_")):
            found.append(f"{name}: has an abbreviated unit")
        if family.type == "gauge" and name.endswith("_total"):
            found.append(f"{name}: only counters end in _total")
        if family.type in ("gauge", "counter") and name.endswith(("_bucket", "_count", "_sum")):
            found.append(f"{name}: has the suffix of a histogram")
        labels = {label for sample in family.samples for label in sample.labels}
        if not all(re.fullmatch(r"[a-z][a-z0-9_]*", label) for label in labels):
            found.append(f"{name}: a label is not in snake case")
    return found


async def test_names_and_types_are_as_linters_want_them(node: FakeNode) -> None:
    assert complaints(await text(node)) == []


def test_the_linter_finds_what_it_looks_for() -> None:
    bad = "# TYPE Bad_ms gauge\nBad_ms 1\n# HELP x_total x\n# TYPE x_total gauge\nx_total 1\n"
    assert len(complaints(bad)) == 4


async def test_families_are_whole_and_in_one_place(node: FakeNode) -> None:
    heads = re.findall(r"^# TYPE (\S+)", await text(node), re.MULTILINE)
    assert len(heads) == len(set(heads))
    assert len(heads) > 50
