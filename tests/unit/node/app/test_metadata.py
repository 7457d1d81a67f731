from __future__ import annotations

import asyncio

import pytest
from tests.unit.node.controller.metadata_node import MetadataNode

from odradek.node.app.metadata import AskedTopic, PartitionsPage
from odradek.node.controller.topics import NewTopic
from odradek.proto.kafka.errors import ErrorCode


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def find(node: MetadataNode, *names: str, auto: bool = False) -> list[ErrorCode]:
    asked = [AskedTopic(name) for name in names]
    return [found.error for found in node.metadata.find_topics(asked, allow_auto_creation=auto)]


async def test_all_topics_come_by_name() -> None:
    node = await MetadataNode().start(NewTopic("b"), NewTopic("a"))
    assert [found.name for found in node.metadata.all_topics()] == ["a", "b"]


async def test_topics_are_found_by_name_and_by_id_in_the_order_asked() -> None:
    node = await MetadataNode().start(NewTopic("a"), NewTopic("b"))
    topic_id = node.image.topics_by_name["b"].topic_id
    asked = [
        AskedTopic(None, topic_id),
        AskedTopic("a"),
        AskedTopic("no"),
        AskedTopic("n o"),
        AskedTopic("a"),
    ]
    found = node.metadata.find_topics([*asked, AskedTopic("x", b"?" * 16)], allow_auto_creation=False)
    assert [(one.error, one.name) for one in found] == [
        (ErrorCode.NONE, "b"),
        (ErrorCode.NONE, "a"),
        (ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, "no"),
        (ErrorCode.INVALID_TOPIC_EXCEPTION, "n o"),
        (ErrorCode.UNKNOWN_TOPIC_ID, None),
    ]


class TestAutoCreation:
    async def test_a_mentioned_topic_is_unknown_now_and_there_soon(self) -> None:
        node = await MetadataNode({"num.partitions": "4"}).start()
        assert find(node, "t", auto=True) == [ErrorCode.UNKNOWN_TOPIC_OR_PARTITION]
        assert find(node, "t", auto=True) == [ErrorCode.UNKNOWN_TOPIC_OR_PARTITION]
        await turn()
        assert find(node, "t", auto=True) == [ErrorCode.NONE]
        assert len(node.image.topics_by_name["t"].partitions) == 4

    @pytest.mark.parametrize(
        ("settings", "auto"), [({}, False), ({"auto.create.topics.enable": "false"}, True)]
    )
    async def test_only_where_client_and_broker_want_it(self, settings: dict[str, str], auto: bool) -> None:
        node = await MetadataNode(settings).start()
        find(node, "t", auto=auto)
        await turn()
        assert not node.image.topics_by_name

    async def test_illegal_names_and_unknown_ids_create_nothing(self) -> None:
        node = await MetadataNode().start()
        entries = node.log.index
        find(node, "n o", "", auto=True)
        node.metadata.find_topics([AskedTopic("a", b"?" * 16)], allow_auto_creation=True)
        await turn()
        assert node.log.index == entries

    async def test_what_cannot_be_created_can_be_tried_again(self) -> None:
        node = await MetadataNode().start(NewTopic("a.b"))
        node.log.is_leader = False
        find(node, "t", auto=True)
        await turn()
        node.log.is_leader = True
        find(node, "t", "a_b", auto=True)
        await turn()
        assert set(node.image.topics_by_name) == {"a.b", "t"}


class TestPages:
    async def node(self) -> MetadataNode:
        return await MetadataNode().start(NewTopic("a", 3, 1), NewTopic("b", 1, 1), NewTopic("c", 4, 1))

    def page(
        self, node: MetadataNode, names: list[str], cursor: tuple[str, int] | None = None, limit: int = 2000
    ) -> PartitionsPage:
        page = node.metadata.partitions_page(names, cursor, limit)
        assert isinstance(page, PartitionsPage)
        return page

    async def test_everything_by_name_without_a_cursor_at_the_end(self) -> None:
        page = self.page(await self.node(), [])
        assert [(found.name, list(indexes)) for found, indexes in page.topics] == [
            ("a", [0, 1, 2]),
            ("b", [0]),
            ("c", [0, 1, 2, 3]),
        ]
        assert page.next is None

    @pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 7, 8, 9])
    async def test_pages_of_any_size_make_up_the_whole(self, limit: int) -> None:
        node = await self.node()
        seen: list[tuple[str | None, int]] = []
        cursor: tuple[str, int] | None = None
        for _ in range(9):
            page = self.page(node, ["c", "a", "b", "a"], cursor, limit)
            partitions = [(found.name, index) for found, indexes in page.topics for index in indexes]
            assert 0 < len(partitions) <= limit
            seen += partitions
            cursor = page.next
            if cursor is None:
                break
        assert seen == [("a", 0), ("a", 1), ("a", 2), ("b", 0), ("c", 0), ("c", 1), ("c", 2), ("c", 3)]

    async def test_the_broker_limits_a_page_whatever_is_asked(self) -> None:
        node = await MetadataNode({"max.request.partition.size.limit": "2"}).start(NewTopic("a", 3, 1))
        assert self.page(node, [], None, 2000).next == ("a", 2)
        assert self.page(node, [], None, 0).next == ("a", 1)

    async def test_unknown_and_illegal_names_have_errors_and_no_partitions(self) -> None:
        page = self.page(await self.node(), ["no", "n o", "b"])
        assert [(found.name, found.error, len(indexes)) for found, indexes in page.topics] == [
            ("b", ErrorCode.NONE, 1),
            ("n o", ErrorCode.INVALID_TOPIC_EXCEPTION, 0),
            ("no", ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, 0),
        ]

    async def test_a_cursor_behind_the_last_partition_or_at_a_deleted_topic_goes_on(self) -> None:
        node = await self.node()
        assert [found.name for found, _ in self.page(node, [], ("a", 3)).topics] == ["b", "c"]
        assert [found.name for found, _ in self.page(node, [], ("aa", 7)).topics] == ["b", "c"]
        assert self.page(node, [], ("z", 0)).topics == []

    async def test_a_cursor_before_the_first_partition_is_refused(self) -> None:
        node = await self.node()
        assert node.metadata.partitions_page([], ("a", -1), 10) is ErrorCode.INVALID_REQUEST
