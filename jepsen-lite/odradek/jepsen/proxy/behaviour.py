"""What a link does to the bytes and requests that pass it, as values that travel to the proxy as JSON.

Decides: the shape of a behaviour, and how two are laid over each other. Does not decide: what becomes of a byte
(`pace`) or of a request (`exchange`).
Units: milliseconds and bytes; chances are between 0 and 1 and are drawn once for every piece or request.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Pace:
    """How bytes travel in one direction. All parts compose; order is kept, as TCP keeps it."""

    #: Every piece arrives later by delay_ms, give or take jitter_ms.
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    #: The chance that a piece, and with it all behind it, waits for up to stall_ms more.
    stall: float = 0.0
    stall_ms: float = 0.0
    #: The share of segments that the network loses: above TCP a wait, of a round trip or a retransmission timeout.
    loss: float = 0.0
    #: The limit of the link; 0 is none.
    bytes_per_s: int = 0
    #: Pieces are cut to so many bytes (0: they are not), each dribble_ms after the one before.
    dribble_bytes: int = 0
    dribble_ms: float = 0.0
    #: The chance that a piece is cut somewhere in its middle and the connection reset.
    reset: float = 0.0
    #: Half-open: everything disappears, and nobody is told, not even of the end of the connection.
    swallow: bool = False


@dataclass(frozen=True, slots=True)
class Hold:
    """Requests of one API are held back and delivered late, also when the client has closed its side by then."""

    api_key: int
    low_ms: float = 1_000.0
    high_ms: float = 30_000.0
    #: How many are held while the behaviour lasts, and the chance of each that could be.
    requests: int = 1
    chance: float = 1.0
    #: Reset the client's side at once, so that it tries again while the first request is still under way: where the
    #: broker can tell the two apart (`requests.may_come_late`), otherwise the client keeps its connection.
    cut_client: bool = False


@dataclass(frozen=True, slots=True)
class Replay:
    """Produce requests of idempotent producers are delivered again later, by a connection of their own."""

    chance: float = 0.05
    low_ms: float = 0.0
    high_ms: float = 2_000.0


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What one link does. `up` is from the side that dials to the target. The parts below `down` read Kafka's
    frames, and a link with one of them must carry nothing else (neither gRPC nor TLS)."""

    up: Pace = Pace()
    down: Pace = Pace()
    holds: tuple[Hold, ...] = ()
    #: The answer of every n-th Produce never comes: the connection ends once the broker has answered. 0: all come.
    drop_every: int = 0
    replay: Replay | None = None
    #: Cut frames though nothing needs it: pieces are whole requests then, and requests are counted.
    frames: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        assert self.drop_every == 0 or self.drop_every >= 2, "when no answer passes, no producer gets on"

    @property
    def framed(self) -> bool:
        """Whether the bytes must be cut into Kafka's frames."""
        return self.frames or bool(self.holds) or self.drop_every > 0 or self.replay is not None

    @property
    def swallows(self) -> bool:
        return self.up.swallow or self.down.swallow

    def over(self, below: Behaviour) -> Behaviour:
        """This one where it does something, and `below` where it does nothing. The seed is this one's."""
        return replace(
            self,
            up=below.up if self.up == Pace() else self.up,
            down=below.down if self.down == Pace() else self.down,
            holds=self.holds or below.holds,
            drop_every=self.drop_every or below.drop_every,
            replay=self.replay or below.replay,
            frames=self.frames or below.frames,
        )


def to_json(behaviour: Behaviour) -> dict[str, Any]:
    """What `json` can hold."""
    return asdict(behaviour)


def from_json(fields: Mapping[str, Any]) -> Behaviour:
    """Raises TypeError for a field that there is not."""
    made = dict(fields)
    for name, shape in (("up", Pace), ("down", Pace), ("replay", Replay)):
        if made.get(name) is not None:
            made[name] = shape(**made[name])
    made["holds"] = tuple(Hold(**hold) for hold in made.get("holds", ()))
    return Behaviour(**made)


def same(pace: Pace, seed: int = 0) -> Behaviour:
    """Both directions alike."""
    return Behaviour(up=pace, down=pace, seed=seed)
