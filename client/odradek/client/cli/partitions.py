"""Partitions as arguments: `orders/0`, `orders/0-3`, `orders` for all, and `0,2,5-7` where the topic is known. Pure."""

from __future__ import annotations

import re
from typing import Final

_NUMBERS: Final = re.compile(r"\d+(-\d+)?(,\d+(-\d+)?)*")


def parse_numbers(text: str) -> list[int]:
    """`0,2,5-7` as numbers, each once, in order."""
    if _NUMBERS.fullmatch(text) is None:
        raise ValueError(f"{text!r} are no partitions: write numbers and ranges with commas, such as 0,2,5-7")
    numbers: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if int(last or first) < int(first) or int(last or first) - int(first) > 100_000:
            raise ValueError(f"{part!r} is no range of partitions: write the smaller number first")
        numbers.update(range(int(first), int(last or first) + 1))
    return sorted(numbers)


def parse_topic_partitions(text: str) -> tuple[str, list[int] | None]:
    """`TOPIC/0,2` as the topic and its partitions; `TOPIC` alone is all of them: None."""
    topic, found, numbers = text.partition("/")
    if not topic or (found and not numbers):
        raise ValueError(f"{text!r} names no partitions: write TOPIC, TOPIC/0 or TOPIC/0,2-4")
    return topic, parse_numbers(numbers) if found else None


def parse_move(text: str) -> tuple[str, list[int] | None, list[int]]:
    """`TOPIC/0:1,2,3`: partitions, and the nodes they move to, the preferred leader first."""
    where, found, nodes = text.rpartition(":")
    numbers = nodes.split(",")
    if not found or not all(number.isdecimal() for number in numbers):
        raise ValueError(f"{text!r} is no move: write TOPIC/PARTITION:NODE,NODE,... such as orders/0:1,2,3")
    topic, partitions = parse_topic_partitions(where)
    return topic, partitions, [int(number) for number in numbers]
