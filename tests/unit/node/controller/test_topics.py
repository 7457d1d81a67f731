from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from odradek.node.controller import topics
from odradek.node.controller.image import BrokerImage, MetadataImage
from odradek.node.controller.records import ConfigRecord, PartitionsRecord, Record, TopicRecord
from odradek.node.controller.topics import MorePartitions, NewTopic, TopicDefaults, TopicOutcome
from odradek.proto.kafka.errors import ErrorCode

After = Callable[[MetadataImage, list[Record]], MetadataImage]


def check(configs: object) -> str | None:
    return "retention.ms=x is not valid" if "x" in dict(configs).values() else None  # type: ignore[call-overload]


def create(image: MetadataImage, *new: NewTopic, seed: int = 1) -> tuple[list[Record], list[TopicOutcome]]:
    result = topics.create_topics(image, new, TopicDefaults(3, 1), check, Random(seed))
    return list(result.records), result.response


def error_of(image: MetadataImage, topic: NewTopic) -> ErrorCode:
    records, outcomes = create(image, topic)
    assert not records
    assert outcomes[0].message
    return outcomes[0].error


class TestCreate:
    def test_a_topic_gets_an_id_its_partitions_and_its_configs(self, image: MetadataImage) -> None:
        records, outcomes = create(image, NewTopic("t", 2, 1, configs={"retention.ms": "5"}))
        topic, configs = records
        assert isinstance(topic, TopicRecord)
        assert [run.count for run in topic.partitions] == [2]
        assert topic.partitions[0].replicas == [1]
        assert isinstance(configs, ConfigRecord)
        assert outcomes == [TopicOutcome("t", topic_id=topic.topic_id, num_partitions=2, replication_factor=1,
                                         configs={"retention.ms": "5"})]  # fmt: skip

    def test_minus_one_means_the_brokers_defaults(self, image: MetadataImage) -> None:
        assert create(image, NewTopic("t"))[1][0].num_partitions == 3

    def test_ten_thousand_equal_partitions_are_one_run(self, image: MetadataImage) -> None:
        (record,), _ = create(image, NewTopic("t", 10_000, 1))
        assert isinstance(record, TopicRecord)
        assert [run.count for run in record.partitions] == [10_000]

    @pytest.mark.parametrize("name", ["", ".", "..", "a b", "ö", "a/b", "x" * 250, "a\n"])
    def test_illegal_names(self, image: MetadataImage, name: str) -> None:
        assert error_of(image, NewTopic(name, 1, 1)) is ErrorCode.INVALID_TOPIC_EXCEPTION

    @pytest.mark.parametrize("name", ["a", "...", "A.b_c-9", "x" * 249])
    def test_legal_names(self, image: MetadataImage, name: str) -> None:
        assert create(image, NewTopic(name, 1, 1))[1][0].error is ErrorCode.NONE

    def test_the_metadata_log_is_not_a_topic(self, image: MetadataImage) -> None:
        assert error_of(image, NewTopic("__cluster_metadata", 1, 1)) is ErrorCode.INVALID_REQUEST

    def test_a_name_that_exists(self, image: MetadataImage, after: After) -> None:
        image = after(image, create(image, NewTopic("t"))[0])
        assert error_of(image, NewTopic("t")) is ErrorCode.TOPIC_ALREADY_EXISTS

    def test_names_that_differ_in_dots_and_underscores_collide(
        self, image: MetadataImage, after: After
    ) -> None:
        image = after(image, create(image, NewTopic("a.b"))[0])
        assert error_of(image, NewTopic("a_b")) is ErrorCode.INVALID_TOPIC_EXCEPTION
        assert error_of(image, NewTopic("a.b")) is ErrorCode.TOPIC_ALREADY_EXISTS
        outcomes = create(image, NewTopic("e.f"), NewTopic("e_f"))[1]
        assert [one.error for one in outcomes] == [ErrorCode.NONE, ErrorCode.INVALID_TOPIC_EXCEPTION]

    def test_a_name_twice_in_a_request_is_refused_once_and_the_rest_is_created(
        self, image: MetadataImage
    ) -> None:
        records, outcomes = create(image, NewTopic("d"), NewTopic("d"), NewTopic("e"))
        assert [(one.name, one.error) for one in outcomes] == [
            ("d", ErrorCode.INVALID_REQUEST),
            ("e", ErrorCode.NONE),
        ]
        assert len(records) == 1

    @pytest.mark.parametrize(
        ("partitions", "factor", "error"),
        [
            (0, 1, ErrorCode.INVALID_PARTITIONS),
            (-2, 1, ErrorCode.INVALID_PARTITIONS),
            (1, 0, ErrorCode.INVALID_REPLICATION_FACTOR),
            (1, -2, ErrorCode.INVALID_REPLICATION_FACTOR),
            (1, 2, ErrorCode.INVALID_REPLICATION_FACTOR),
            (10_001, 1, ErrorCode.POLICY_VIOLATION),
        ],
    )
    def test_counts_that_cannot_be(
        self, image: MetadataImage, partitions: int, factor: int, error: ErrorCode
    ) -> None:
        assert error_of(image, NewTopic("t", partitions, factor)) is error

    def test_a_request_for_too_many_partitions_creates_none(self, image: MetadataImage) -> None:
        records, outcomes = create(image, NewTopic("a", 6000, 1), NewTopic("b", 6000, 1))
        assert not records
        assert {one.error for one in outcomes} == {ErrorCode.POLICY_VIOLATION}

    def test_configs_are_checked_and_need_values(self, image: MetadataImage) -> None:
        for value in ("x", None):
            topic = NewTopic("t", 1, 1, configs={"retention.ms": value})
            assert error_of(image, topic) is ErrorCode.INVALID_CONFIG

    def test_a_manual_assignment_places_the_partitions(
        self, make_image: Callable[..., MetadataImage], make_broker: Callable[..., BrokerImage]
    ) -> None:
        image = make_image(make_broker(1), make_broker(2))
        (record,), outcomes = create(image, NewTopic("t", assignments=[(1, [2, 1]), (0, [1, 2])]))
        assert isinstance(record, TopicRecord)
        assert [run.replicas for run in record.partitions] == [[1, 2], [2, 1]]
        assert (outcomes[0].num_partitions, outcomes[0].replication_factor) == (2, 2)

    @pytest.mark.parametrize(
        "assignments",
        [
            [(0, [1]), (2, [1])],
            [(1, [1])],
            [(0, [1]), (0, [1])],
            [(0, [9])],
            [(0, [1, 1])],
            [(0, [])],
            [(0, [1]), (1, [])],
        ],
    )
    def test_assignments_that_cannot_be(
        self, image: MetadataImage, assignments: list[tuple[int, list[int]]]
    ) -> None:
        topic = NewTopic("t", assignments=assignments)
        assert error_of(image, topic) is ErrorCode.INVALID_REPLICA_ASSIGNMENT

    @pytest.mark.parametrize(("partitions", "factor"), [(1, -1), (-1, 1), (1, 1)])
    def test_an_assignment_excludes_counts(self, image: MetadataImage, partitions: int, factor: int) -> None:
        topic = NewTopic("t", partitions, factor, assignments=[(0, [1])])
        assert error_of(image, topic) is ErrorCode.INVALID_REQUEST

    def test_a_broker_with_several_directories_chooses_itself(
        self, make_image: Callable[..., MetadataImage], make_broker: Callable[..., BrokerImage]
    ) -> None:
        for directories, expected in ((1, bytes([1, 0]) * 8), (2, bytes(16))):
            (record,), _ = create(make_image(make_broker(1, directories=directories)), NewTopic("t"))
            assert isinstance(record, TopicRecord)
            assert record.partitions[0].directories == [expected]


class TestDelete:
    def test_by_name_and_by_id(self, image: MetadataImage, after: After) -> None:
        image = after(image, create(image, NewTopic("a"), NewTopic("b"))[0])
        topic_b = image.topics_by_name["b"].topic_id
        result = topics.delete_topics(image, ["a"], [topic_b])
        assert [(one.name, one.error) for one in result.response] == [
            ("a", ErrorCode.NONE),
            ("b", ErrorCode.NONE),
        ]
        gone = after(image, list(result.records))
        assert not gone.topics_by_name
        assert not gone.topics_by_id
        assert gone.partition_count == 0

    def test_what_does_not_exist(self, image: MetadataImage) -> None:
        result = topics.delete_topics(image, ["a"], [b"x" * 16])
        assert not result.records
        assert [(one.name, one.topic_id, one.error) for one in result.response] == [
            ("a", bytes(16), ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
            (None, b"x" * 16, ErrorCode.UNKNOWN_TOPIC_ID),
        ]

    def test_a_topic_named_twice_by_whatever_means_stays(self, image: MetadataImage, after: After) -> None:
        image = after(image, create(image, NewTopic("a"))[0])
        topic_id = image.topics_by_name["a"].topic_id
        for names, ids in ((["a", "a"], []), ([], [topic_id, topic_id]), (["a"], [topic_id])):
            result = topics.delete_topics(image, names, ids)
            assert not result.records
            assert {one.error for one in result.response} == {ErrorCode.INVALID_REQUEST}

    def test_its_configs_go_with_it_and_a_successor_is_another_topic(
        self, image: MetadataImage, after: After
    ) -> None:
        one = NewTopic("a.b", 1, 1, configs={"retention.ms": "5"})
        first = after(image, create(image, one)[0])
        empty = after(first, list(topics.delete_topics(first, ["a.b"], []).records))
        assert not empty.configs
        assert not empty.collisions
        second = after(empty, create(empty, one, seed=2)[0])
        assert second.topics_by_name["a.b"].topic_id != first.topics_by_name["a.b"].topic_id


class TestGrow:
    def grow(self, image: MetadataImage, *more: MorePartitions) -> tuple[list[Record], list[TopicOutcome]]:
        result = topics.create_partitions(image, more, Random(1))
        return list(result.records), result.response

    def test_the_new_partitions_come_behind(self, image: MetadataImage, after: After) -> None:
        image = after(image, create(image, NewTopic("t", 2, 1))[0])
        records, outcomes = self.grow(image, MorePartitions("t", 5))
        (record,) = records
        assert isinstance(record, PartitionsRecord)
        assert record.first_partition == 2
        assert outcomes[0].error is ErrorCode.NONE
        grown = after(image, records)
        assert len(grown.topics_by_id[record.topic_id].partitions) == 5
        assert grown.partition_count == 5

    @pytest.mark.parametrize(
        ("more", "error"),
        [
            (MorePartitions("t", 2), ErrorCode.INVALID_PARTITIONS),
            (MorePartitions("t", 1), ErrorCode.INVALID_PARTITIONS),
            (MorePartitions("t", 0), ErrorCode.INVALID_PARTITIONS),
            (MorePartitions("u", 3), ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
            (MorePartitions("t", 20_000), ErrorCode.POLICY_VIOLATION),
            (MorePartitions("t", 4, [[1]]), ErrorCode.INVALID_REPLICA_ASSIGNMENT),
            (MorePartitions("t", 3, [[9]]), ErrorCode.INVALID_REPLICA_ASSIGNMENT),
            (MorePartitions("t", 3, [[1, 1]]), ErrorCode.INVALID_REPLICA_ASSIGNMENT),
            (MorePartitions("t", 3, [[]]), ErrorCode.INVALID_REPLICA_ASSIGNMENT),
        ],
    )
    def test_what_is_refused(
        self, image: MetadataImage, after: After, more: MorePartitions, error: ErrorCode
    ) -> None:
        image = after(image, create(image, NewTopic("t", 2, 1))[0])
        records, outcomes = self.grow(image, more)
        assert not records
        assert outcomes[0].error is error
        assert outcomes[0].message

    def test_a_topic_twice_in_a_request(self, image: MetadataImage, after: After) -> None:
        image = after(image, create(image, NewTopic("t", 2, 1))[0])
        records, outcomes = self.grow(image, MorePartitions("t", 3), MorePartitions("t", 4))
        assert not records
        assert [one.error for one in outcomes] == [ErrorCode.INVALID_REQUEST]

    def test_new_partitions_have_as_many_replicas_as_the_old_ones(
        self,
        make_image: Callable[..., MetadataImage],
        make_broker: Callable[..., BrokerImage],
        after: After,
    ) -> None:
        image = make_image(make_broker(1), make_broker(2), make_broker(3))
        image = after(image, create(image, NewTopic("t", 1, 2))[0])
        image = after(image, self.grow(image, MorePartitions("t", 9))[0])
        assert {len(one.replicas) for one in image.topics_by_name["t"].partitions} == {2}
        assert (
            self.grow(image, MorePartitions("t", 10, [[1]]))[1][0].error
            is ErrorCode.INVALID_REPLICA_ASSIGNMENT
        )


def test_topic_ids_are_random_uuids_that_do_not_look_like_options() -> None:
    random = Random(3)
    made = {topics.new_topic_id(random) for _ in range(2000)}
    assert len(made) == 2000
    assert all(one[6] >> 4 == 4 and one[8] >> 6 == 2 and one[0] >> 2 != 62 for one in made)
