"""Virtual time: one scheduler under many event loops, one loop for each simulated process.

Decides in which order things happen, from the seed alone. Inside one process callbacks run first in, first out,
because asyncio promises that and code may build on it; between processes any order is possible, so the next one to
get a turn is drawn. Time passes only when nobody has anything to do, and then jumps to the next timer.

Does not decide what the network or a disk does: those put events of their own into the same heap (`at`).

Invariants: one thread; a loop that is dead runs nothing any more, not even a `finally`; a frozen one keeps what comes
in until it thaws. Tasks and futures hash by a sequence number: asyncio keeps them in sets, whose order would otherwise
follow their addresses. Time is whole microseconds, so the clock's resolution is not 0 (a timer due "now" would never
be reached). Source: FoundationDB's simulation, reference 3.3.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import struct
import threading
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from heapq import heappop, heappush
from random import Random
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

if TYPE_CHECKING:
    from tests.sim.network import Machine

T = TypeVar("T")
SECOND_US = 1_000_000
_TURN = struct.Struct(">qHI")


class SimulationStuckError(AssertionError):
    """Nothing can happen any more, or what should come true did not in time."""


class Scheduler:
    """Time, and whose turn it is. `trace` digests everything that happened, for comparing two runs."""

    def __init__(self, random: Random) -> None:
        self.now_us = 0
        self.turns = 0
        self.loops: list[HostLoop] = []
        self.problems: list[str] = []
        """What reached an exception handler of a loop: each is a bug."""
        self.on_turn: Callable[[HostLoop], None] | None = None
        self._random = random
        self._thread = threading.get_ident()
        self._heap: list[tuple[int, int, HostLoop | None, Any]] = []
        self._sequence = 0
        self._runnable: list[HostLoop] = []
        self._digest = hashlib.blake2b(digest_size=8)

    @property
    def now_ms(self) -> int:
        return self.now_us // 1000

    @property
    def trace(self) -> str:
        return self._digest.hexdigest()

    def note(self, data: bytes) -> None:
        """Take something that happened into the trace."""
        self._digest.update(data)

    def number(self) -> int:
        """The next number of a sequence: identities, and the order of what happens at the same time."""
        self._sequence += 1
        return self._sequence

    def at(self, when_us: int, action: Callable[[], None]) -> None:
        """Have something of the world (not of a process) happen at a time, or now if that is past."""
        heappush(self._heap, (max(when_us, self.now_us), self.number(), None, action))

    def after(self, delay_us: int, action: Callable[[], None]) -> None:
        self.at(self.now_us + delay_us, action)

    def schedule(self, loop: HostLoop, when_us: int, handle: asyncio.Handle) -> None:
        heappush(self._heap, (when_us, self.number(), loop, handle))

    def end(self) -> None:
        """The run is over: every process ends here."""
        for loop in self.loops:
            loop.kill()

    def make_runnable(self, loop: HostLoop) -> None:
        if not loop.is_queued:
            loop.is_queued = True
            self._runnable.append(loop)

    # -- running

    def run(self, until_us: int) -> None:
        """Let everything happen up to and including a time."""
        self.run_while(lambda: True, until_us)
        self.now_us = max(self.now_us, until_us)

    def run_while(self, goes_on: Callable[[], bool], until_us: int) -> None:
        """As long as `goes_on()` (asked between turns) and time is left. Raises what a check raises."""
        assert threading.get_ident() == self._thread, "a simulation has one thread"
        heap, runnable, random = self._heap, self._runnable, self._random
        while goes_on():
            if runnable:
                if len(runnable) > 1:
                    at = random.randrange(len(runnable))
                    runnable[at], runnable[-1] = runnable[-1], runnable[at]
                loop = runnable.pop()
                loop.is_queued = False
                if not loop.is_dead and not loop.is_frozen:
                    self._turn(loop)
                continue
            if not heap or heap[0][0] > until_us:
                return
            self._advance(heap)

    def _advance(self, heap: list[tuple[int, int, HostLoop | None, Any]]) -> None:
        when_us = self.now_us = heap[0][0]
        while heap and heap[0][0] == when_us:
            _, _, loop, action = heappop(heap)
            if loop is None:
                action()
            elif not loop.is_dead and not action._cancelled:
                loop.ready.append(action)
                self.make_runnable(loop)

    def _turn(self, loop: HostLoop) -> None:
        ready = loop.ready
        count = len(ready)
        self.turns += 1
        self._digest.update(_TURN.pack(self.now_us, loop.number & 0xFFFF, count))
        events._set_running_loop(loop)
        try:
            for _ in range(count):
                handle = ready.popleft()
                if not handle._cancelled:
                    handle._run()
        finally:
            events._set_running_loop(None)
        if ready:
            self.make_runnable(loop)
        if self.on_turn is not None:
            self.on_turn(loop)


class _SimTask(asyncio.Task[T]):
    """A task whose place in a set does not depend on its address."""

    def __init__(self, coro: Any, *, loop: HostLoop, name: object, context: Context | None) -> None:
        self._number = loop.scheduler.number()
        super().__init__(coro, loop=loop, name=str(name or f"task-{self._number}"), context=context)

    def __hash__(self) -> int:
        return self._number


class _SimFuture(asyncio.Future[T]):
    def __init__(self, *, loop: HostLoop) -> None:
        self._number = loop.scheduler.number()
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self._number


class HostLoop(asyncio.BaseEventLoop):
    """The event loop of one process. `machine`: where its sockets are.

    `lateness_us`: how much later than asked timers may fire, as real ones do. `rate`: how fast its clock runs.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        name: str,
        machine: Machine | None = None,
        *,
        random: Random | None = None,
        lateness_us: int = 0,
        rate: float = 1.0,
    ) -> None:
        self.is_dead = False
        super().__init__()
        self.scheduler = scheduler
        self.name = name
        self.machine = machine
        self.owner: Any = None
        """What runs here, for whoever watches turns."""
        self.number = scheduler.number()
        self.ready: deque[asyncio.Handle] = deque()
        self.is_queued = False
        self.is_frozen = False
        self.tasks: list[_SimTask[Any]] = []
        self._random = random or Random(0)
        self._lateness_us = lateness_us
        self._rate = rate
        self._born_us = scheduler.now_us
        self._start_s = 1000.0 if random is None else float(random.randrange(10, 100_000))
        scheduler.loops.append(self)

    # -- the simulator's side

    def kill(self) -> None:
        """End the process where it stands. Its tasks are kept, so that no `finally` runs when they are collected."""
        self.is_dead = True
        self.ready.clear()
        for task in self.tasks:
            task._log_destroy_pending = False  # type: ignore[attr-defined]

    def freeze(self) -> None:
        self.is_frozen = True

    def thaw(self) -> None:
        self.is_frozen = False
        if self.ready:
            self.scheduler.make_runnable(self)

    # -- asyncio's side

    def time(self) -> float:
        return self._start_s + (self.scheduler.now_us - self._born_us) * self._rate / SECOND_US

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        if not self.is_dead:
            self.ready.append(handle)
            if not self.is_queued and not self.is_frozen:
                self.scheduler.make_runnable(self)
        return handle

    call_soon_threadsafe = call_soon  # type: ignore[assignment]

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        if self.is_dead:
            return handle
        due_us = self._born_us + math.ceil((when - self._start_s) * SECOND_US / self._rate)
        if self._lateness_us:
            due_us += self._random.randrange(self._lateness_us)
        self.scheduler.schedule(self, max(due_us, self.scheduler.now_us), handle)
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It stays in the heap and is skipped."""

    def create_future(self) -> asyncio.Future[Any]:
        return _SimFuture(loop=self)

    def create_task(
        self,
        coro: Generator[Any, None, T] | Coroutine[Any, Any, T],
        *,
        name: object = None,
        context: Context | None = None,
        **_: Any,
    ) -> asyncio.Task[T]:
        task: _SimTask[T] = _SimTask(coro, loop=self, name=name, context=context)
        self.tasks.append(task)
        if len(self.tasks) > 256:
            self.tasks = [task for task in self.tasks if not task.done()]
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if not self.is_dead:
            error = context.get("exception")
            self.scheduler.problems.append(f"{self.name}: {context.get('message')}: {error!r}")

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        self.call_exception_handler(context)

    def get_debug(self) -> bool:
        return False

    def set_debug(self, enabled: bool) -> None:
        """There is no debug mode: it would look at the real clock."""

    def is_running(self) -> bool:
        return not self.is_dead

    def is_closed(self) -> bool:
        return self.is_dead

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> NoReturn:  # type: ignore[override]
        raise NotImplementedError("a simulated process has no threads")

    async def create_server(
        self, protocol_factory: Any, host: Any = None, port: Any = None, **options: Any
    ) -> Any:
        assert self.machine is not None, f"{self.name} has no network"
        return self.machine.listen(protocol_factory, host, port, options.get("start_serving", True))

    async def create_connection(
        self, protocol_factory: Any, host: Any = None, port: Any = None, **_: Any
    ) -> Any:
        assert self.machine is not None, f"{self.name} has no network"
        return await self.machine.connect(protocol_factory, host, port)
