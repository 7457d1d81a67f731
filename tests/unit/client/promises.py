"""A promise without an event loop."""

from __future__ import annotations

from typing import Any


class Told:
    """Keeps what it was told, once."""

    def __init__(self) -> None:
        self.result: Any = None
        self.error: BaseException | None = None
        self.is_cancelled = False
        self._times = 0

    def done(self) -> bool:
        return self._times > 0 or self.is_cancelled

    def set_result(self, result: Any, /) -> None:
        assert not self.done(), "told twice"
        self._times += 1
        self.result = result

    def set_exception(self, exception: BaseException, /) -> None:
        assert not self.done(), "told twice"
        self._times += 1
        self.error = exception
