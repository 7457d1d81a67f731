"""What a run leaves for the checkers.

Decides: its shape, and what of it outlives the run, as recorded.json in the run's folder: all but the replicas, so that
a history can be checked once more. Does not decide: how it comes about (`execute`), nor what is wrong with it
(`checking`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from odradek.jepsen.checkers.anomaly import Anomaly
from odradek.jepsen.checkers.replicas import Replica
from odradek.jepsen.history import decode, encode
from odradek.jepsen.workloads.spec import keys_of

FILE: Final = "recorded.json"


class FinalReader(NamedTuple):
    """A process that was started to read these keys to their ends, through the door "kafka" or "grpc"."""

    process: str
    door: str
    keys: list[str]


@dataclass
class Recorded:
    """What a run leaves for the checkers. `troubles` are what went wrong with the run itself.

    `in_sync` has the nodes that were in sync, by key, after the final reads; `replicas` those nodes that could be read.
    `answers_lost` are answers that producers lost on purpose; None when they had to lose none.
    """

    history: list[Path] = field(default_factory=list)
    topics: Mapping[str, Mapping[str, int]] = field(default_factory=dict)  # by workload
    ends: Mapping[str, int] = field(default_factory=dict)
    readers: list[FinalReader] = field(default_factory=list)
    answers_lost: int | None = None
    in_sync: Mapping[str, list[int]] = field(default_factory=dict)
    replicas: Mapping[int, Mapping[str, Replica]] = field(default_factory=dict)
    troubles: list[Anomaly] = field(default_factory=list)
    logs: Mapping[int, Path] = field(default_factory=dict)

    @property
    def keys(self) -> list[str]:
        return [key for topics in self.topics.values() for key in keys_of(topics)]

    def to_json(self, folder: Path) -> dict[str, Any]:
        """All but the replicas; paths as they are from the run's folder."""
        return {
            "history": [_within(path, folder) for path in self.history],
            "topics": {name: dict(topics) for name, topics in self.topics.items()},
            "ends": dict(self.ends),
            "readers": [reader._asdict() for reader in self.readers],
            "answers_lost": self.answers_lost,
            "in_sync": {key: list(nodes) for key, nodes in self.in_sync.items()},
            "troubles": [
                {**one._asdict(), "evidence": [encode(event) for event in one.evidence]}
                for one in self.troubles
            ],
            "logs": {str(node): _within(path, folder) for node, path in self.logs.items()},
        }

    @classmethod
    def from_json(cls, told: Mapping[str, Any], folder: Path) -> Recorded:
        """Raises KeyError, TypeError, ValueError when it is not what `to_json` makes."""
        return cls(
            history=[folder / path for path in told["history"]],
            topics=told["topics"],
            ends=told["ends"],
            readers=[FinalReader(**reader) for reader in told["readers"]],
            answers_lost=told["answers_lost"],
            in_sync=told["in_sync"],
            troubles=[
                Anomaly(**{**one, "evidence": [decode(line) for line in one["evidence"]]})
                for one in told["troubles"]
            ],
            logs={int(node): folder / path for node, path in told["logs"].items()},
        )


def _within(path: Path, folder: Path) -> str:
    """The path from the folder, if it is in there."""
    there, root = path.absolute(), folder.absolute()
    return str(there.relative_to(root) if there.is_relative_to(root) else there)


def save(folder: Path, recorded: Recorded) -> None:
    """Into recorded.json of the run's folder."""
    (folder / FILE).write_text(json.dumps(recorded.to_json(folder), indent=1) + "\n")


def load(folder: Path) -> Recorded:
    """What `save` has left in a run's folder, without replicas; the folder may have moved since.

    Raises FileNotFoundError when the folder has none, ValueError when it is damaged.
    """
    text = (folder / FILE).read_text()
    try:
        return Recorded.from_json(json.loads(text), folder)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{folder / FILE}: {error!r}") from error
