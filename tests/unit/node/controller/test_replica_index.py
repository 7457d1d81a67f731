from __future__ import annotations

from tests.unit.node.controller.image_world import ImageWorld

from odradek.node.controller.image import EMPTY_IMAGE, MetadataImage, TopicImage
from odradek.node.controller.records import RemoveTopicRecord
from odradek.node.controller.replica_index import (
    LEADERLESS,
    REASSIGNING,
    UNBALANCED,
    WITH_ELR,
    index_of,
    summary_of,
    topics_under,
)


def names(image: MetadataImage, key: int) -> set[str]:
    return {topic.name for topic in topics_under(image, key)}


def made_anew(image: MetadataImage) -> MetadataImage:
    """The same image, of which nobody asked for the index yet."""
    topics = [TopicImage(one.name, one.topic_id, one.partitions) for one in image.topics_by_id.values()]
    return MetadataImage(
        topics_by_id=EMPTY_IMAGE.topics_by_id.updated({topic.topic_id: topic for topic in topics})
    )


def test_brokers_and_what_needs_attention() -> None:
    world = ImageWorld((1, 2, 3, 4))
    world.create("a", (1, 2), (2, 1))
    world.create("b", (3,), (4, 3))
    assert [names(world.image, broker) for broker in (1, 2, 3, 4, 9)] == [{"a"}, {"a"}, {"b"}, {"b"}, set()]
    for key in (LEADERLESS, UNBALANCED, WITH_ELR, REASSIGNING):
        assert names(world.image, key) == set()
    world.fence(3)
    assert names(world.image, LEADERLESS) == {"b"}
    assert names(world.image, UNBALANCED) == {"b"}
    assert names(world.image, WITH_ELR) == {"b"}
    world.put("a", 0, adding_replicas=(4,), replicas=(4, 1, 2))
    assert names(world.image, REASSIGNING) == {"a"}
    assert names(world.image, 4) == {"a", "b"}
    assert index_of(world.image).preferred == {4: 2, 2: 1, 3: 1}
    world.unfence(3)
    assert names(world.image, LEADERLESS) == set()
    world.commit([RemoveTopicRecord(topic_id=world.image.topics_by_name["a"].topic_id)])
    assert names(world.image, 4) == {"b"}
    assert names(world.image, 1) == set()
    assert index_of(world.image).preferred == {4: 1, 3: 1}


def test_nobody_pays_who_does_not_ask() -> None:
    world = ImageWorld()
    # Registrations have asked; an image read from a snapshot has no index.
    world.state.restore(world.state.snapshot())
    world.create("a", (1, 2))
    assert world.image.replica_index is None
    assert world.image.topics_by_name["a"].summary is None
    index = index_of(world.image)
    assert world.image.replica_index is index
    assert index_of(world.image) is index
    world.create("b", (1, 2))
    assert world.image.replica_index is not None


def test_what_is_derived_equals_what_is_made_anew() -> None:
    world = ImageWorld()
    index_of(world.image)
    world.create("a", *[(1, 2, 3), (2, 3, 1)] * 5)
    for change in (lambda: world.fence(1), lambda: world.fence(2), lambda: world.unfence(1)):
        change()
        again = made_anew(world.image)
        assert index_of(again) == index_of(world.image)
        (topic,) = again.topics_by_id.values()
        assert summary_of(topic) == world.image.topics_by_name["a"].summary


def test_the_index_is_no_part_of_the_images_value() -> None:
    world = ImageWorld()
    world.create("a", (1, 2))
    bare = made_anew(world.image)
    same = made_anew(world.image)
    index_of(bare)
    assert bare == same
