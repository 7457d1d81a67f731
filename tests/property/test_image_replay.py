"""Metadata under random changes: the image equals a plain model, replay equals the live image, and so does a snapshot
anywhere on the way with the entries behind it."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from odradek.node.config import NodeConfig
from odradek.node.controller import brokers, configs, producer_ids, topics
from odradek.node.controller.configs import ConfigAlteration, ConfigChange, ConfigOperation
from odradek.node.controller.delta import MetadataDelta
from odradek.node.controller.effective import EffectiveConfigs
from odradek.node.controller.elections import TopicRules
from odradek.node.controller.image import BrokerImage, MetadataImage, ResourceType
from odradek.node.controller.persistent_map import PersistentMap
from odradek.node.controller.records import Record, encode_records
from odradek.node.controller.state import MetadataState
from odradek.proto.kafka.errors import ErrorCode

NAMES = st.sampled_from(["a", "b", "a.b", "a_b", "c", "c.c", "bad name", ""])
EFFECTIVE = EffectiveConfigs(NodeConfig())
DEFAULTS = topics.TopicDefaults(2, 1)


class Metadata(RuleBasedStateMachine):
    """The model: partitions and configs by topic name, as plain dicts, and deltas applied to a plain dict."""

    def __init__(self) -> None:
        super().__init__()
        self.state = MetadataState(self._publish)
        self.random = Random(5)
        self.partitions: dict[str, int] = {}
        self.configs: dict[str, dict[str, str]] = {}
        self.ids_given = 0
        self.followed: dict[bytes, str] = {}
        self.entries: list[tuple[int, bytes]] = []
        self.snapshots: list[tuple[int, bytes]] = []

    def _publish(self, delta: MetadataDelta, image: MetadataImage) -> None:
        for topic_id in delta.deleted_topics:
            del self.followed[topic_id]
        for topic_id, topic in delta.changed_topics.items():
            assert (topic_id not in self.followed) == delta.is_new(topic)
            self.followed[topic_id] = topic.name

    def commit(self, records: Sequence[Record]) -> None:
        index = self.state.image.applied_index + self.random.randint(1, 3)
        self.entries.append((index, encode_records(records)))
        self.state.apply(*self.entries[-1])

    @initialize()
    def found(self) -> None:
        self.commit(brokers.found_cluster(self.state.image, "c", {"f": 1}).records)
        joining = brokers.Registration(BrokerImage(1, 0, bytes(16), {}), "c")
        rules = TopicRules()
        joined = brokers.register_broker(self.state.image, joining, lambda _: rules, is_alone=True)
        self.commit(joined.records)

    @rule(names=st.lists(NAMES, max_size=4), count=st.integers(-1, 5), retention=st.integers(0, 9))
    def create(self, names: list[str], count: int, retention: int) -> None:
        settings = {"retention.ms": str(retention)} if retention % 2 else {}
        new = [topics.NewTopic(name, count, 1, configs=dict(settings)) for name in names]
        result = topics.create_topics(self.state.image, new, DEFAULTS, lambda _: None, self.random)
        self.commit(result.records)
        for outcome in result.response:
            assert outcome.name is not None
            taken = {name.replace(".", "_") for name in self.partitions}
            legal = outcome.name not in ("", "bad name") and names.count(outcome.name) == 1 and count != 0
            if outcome.error is ErrorCode.NONE:
                assert legal
                assert outcome.name.replace(".", "_") not in taken
                self.partitions[outcome.name] = outcome.num_partitions
                if settings:
                    self.configs[outcome.name] = dict(settings)
            elif legal:
                assert outcome.name.replace(".", "_") in taken

    @rule(names=st.lists(NAMES, max_size=3), by_id=st.booleans())
    def delete(self, names: list[str], by_id: bool) -> None:
        image = self.state.image
        ids = [image.topics_by_name[name].topic_id for name in names if name in image.topics_by_name]
        result = topics.delete_topics(image, [] if by_id else names, ids if by_id else [])
        self.commit(result.records)
        for name in set(names):
            if names.count(name) == 1:
                self.partitions.pop(name, None)
                self.configs.pop(name, None)

    @rule(name=NAMES, count=st.integers(0, 9))
    def grow(self, name: str, count: int) -> None:
        result = topics.create_partitions(self.state.image, [topics.MorePartitions(name, count)], self.random)
        self.commit(result.records)
        grows = name in self.partitions and count > self.partitions[name]
        assert (result.response[0].error is ErrorCode.NONE) == grows
        if grows:
            self.partitions[name] = count

    @rule(name=NAMES, value=st.none() | st.integers(0, 9).map(str), replace=st.booleans())
    def configure(self, name: str, value: str | None, replace: bool) -> None:
        operation = ConfigOperation.DELETE if value is None else ConfigOperation.SET
        changes = [ConfigChange("segment.ms", operation, value or "1")]
        entry = ConfigAlteration(ResourceType.TOPIC, name, [] if replace and value is None else changes)
        alter = configs.replace_configs if replace else configs.incremental_alter_configs
        result = alter(self.state.image, [entry], EFFECTIVE)
        self.commit(result.records)
        assert (result.response[0].error is ErrorCode.NONE) == (name in self.partitions and value != "0")
        if result.response[0].error is ErrorCode.NONE:
            kept = {} if replace else self.configs.pop(name, {})
            kept.pop("segment.ms", None)
            self.configs.pop(name, None)
            if value is not None:
                kept["segment.ms"] = value
            if kept:
                self.configs[name] = kept

    @rule(count=st.integers(1, 1000))
    def allocate(self, count: int) -> None:
        result = producer_ids.allocate_block(self.state.image, 1, count)
        assert result.response == self.ids_given
        self.ids_given += count
        self.commit(result.records)

    @rule()
    def take_snapshot(self) -> None:
        self.snapshots.append((len(self.entries), self.state.snapshot()))

    @invariant()
    def equals_the_model(self) -> None:
        image = self.state.image
        by_name = {name: len(topic.partitions) for name, topic in image.topics_by_name.items()}
        assert by_name == self.partitions
        assert {topic.topic_id: topic for topic in image.topics_by_name.values()} == dict(image.topics_by_id)
        assert {name: dict(values) for (_, name), values in image.configs.items()} == self.configs
        assert image.partition_count == sum(self.partitions.values())
        assert image.next_producer_id == self.ids_given
        assert self.followed == {topic_id: topic.name for topic_id, topic in image.topics_by_id.items()}

    def teardown(self) -> None:
        for start, snapshot in [(0, None), *self.snapshots]:
            again = MetadataState(lambda delta, image: None)
            if snapshot is not None:
                again.restore(snapshot)
            for index, entry in self.entries[start:]:
                again.apply(index, entry)
            assert again.image == self.state.image
            assert again.snapshot() == self.state.snapshot()


Metadata.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
test_metadata = pytest.mark.filterwarnings("default")(Metadata.TestCase)

KEYS = st.integers(0, 60).map(lambda number: f"k{number}")


@given(st.lists(st.dictionaries(KEYS, st.none() | st.integers(1, 9), max_size=40), max_size=8))
def test_a_persistent_map_is_a_dict_that_keeps_its_past(changes: list[dict[str, int | None]]) -> None:
    model: dict[str, int] = {}
    made: PersistentMap[str, int] = PersistentMap()
    past: list[tuple[PersistentMap[str, int], dict[str, int]]] = []
    for change in changes:
        past.append((made, dict(model)))
        made = made.updated(change)
        model.update({key: value for key, value in change.items() if value is not None})
        for key, value in change.items():
            if value is None:
                model.pop(key, None)
    for one, expected in [*past, (made, model)]:
        assert dict(one.items()) == expected
        assert len(one) == len(expected)
