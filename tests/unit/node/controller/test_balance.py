from __future__ import annotations

from tests.unit.node.controller.image_world import ImageWorld, broker

from odradek.node.controller.balance import balance_leaders, needs_balance


def returned(partitions: int) -> ImageWorld:
    """Broker 1 was away; it is in sync again and leads nothing."""
    world = ImageWorld()
    world.create("t", *[(1, 2, 3)] * partitions, *[(2, 3, 1)] * partitions)
    assert not needs_balance(world.image)
    world.register(broker(1, incarnation=1))
    world.unfence(1)
    assert needs_balance(world.image)
    for number in range(partitions):
        world.propose("t", (2, 3, 1), number)
    return world


def balance(world: ImageWorld, percentage: int = 0, limit: int = 100) -> bool:
    return world.run(lambda image: balance_leaders(image, percentage, world.rules_of, limit))


def test_leadership_goes_back_a_few_at_a_time() -> None:
    world = returned(5)
    assert balance(world, limit=2)
    assert sum(partition.leader == 1 for partition in world.image.topics_by_name["t"].partitions) == 2
    assert balance(world, limit=2)
    assert not balance(world, limit=2)
    assert not needs_balance(world.image)
    assert world.show("t", 0) == "1 leads 1 2 3, isr 2 3 1 (epoch 2)"


def test_who_leads_enough_is_left_alone() -> None:
    world = returned(4)
    for number in range(3):
        world.put("t", number, leader=1)
    entries = len(world.entries)
    assert not balance(world, percentage=25)
    assert len(world.entries) == entries
    balance(world, percentage=24)
    assert not needs_balance(world.image)


def test_who_is_not_in_sync_cannot_lead_yet() -> None:
    world = returned(1)
    world.fence(1)
    entries = len(world.entries)
    assert not balance(world)
    assert len(world.entries) == entries
