"""Pages of a list: `page_size` and `page_token` of a request, `next_page_token` of its answer.

Decides how long a page is and where the next one begins: behind the key of the last item, so a list may change between
two pages without an item being told twice or left out that was there all the time. A token is bound to its list and to
the filters of the request that made it; any other is refused. It holds nothing secret and any node understands it.
Pure.

Source: google.aip.dev/158.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from typing import Final, TypeVar

from odradek.node.grpc_api.refusal import invalid

PAGE_SIZE: Final = 100
PAGE_SIZE_MAX: Final = 1000
_SEAL_BYTES: Final = 9

T = TypeVar("T")
Key = tuple[str | int, ...]


class Paging:
    """What a request asks of a list called `name`. Raises RefusalError.

    `filters` are the fields of the request that choose among the items; `after` is the key of the last item of the
    page before, None for the first page. A size above `PAGE_SIZE_MAX` is taken as that.
    """

    __slots__ = ("_scope", "after", "size")

    def __init__(
        self, name: str, filters: Sequence[str | int], page_size: int = 0, page_token: str = ""
    ) -> None:
        if page_size < 0:
            raise invalid(f"page_size {page_size}: 1 to {PAGE_SIZE_MAX} are allowed, and 0 for {PAGE_SIZE}")
        self._scope = json.dumps([name, *filters]).encode()
        self.size = min(page_size or PAGE_SIZE, PAGE_SIZE_MAX)
        self.after: Key | None = self._open(page_token) if page_token else None

    def take(self, items: Iterable[T], key: Callable[[T], Key]) -> tuple[list[T], str]:
        """The page of `items`, which come in the order of their keys, and the token of the next one, "" at the end."""
        page: list[T] = []
        for item in items:
            if self.after is not None and key(item) <= self.after:
                continue
            if len(page) == self.size:
                return page, self.token(key(page[-1]))
            page.append(item)
        return page, ""

    def token(self, key: Key) -> str:
        """The token of the page behind `key`."""
        body = json.dumps(key).encode()
        return base64.urlsafe_b64encode(self._seal(body) + body).decode()

    def _open(self, token: str) -> Key:
        try:
            sealed = base64.b64decode(token.encode("ascii"), b"-_", validate=True)
        except (binascii.Error, UnicodeEncodeError):
            sealed = b""
        seal, body = sealed[:_SEAL_BYTES], sealed[_SEAL_BYTES:]
        if seal != self._seal(body):
            raise invalid(
                "page_token is not of this list, or not of these filters:"
                " it is the next_page_token of an answer to the same request"
            )
        return tuple(json.loads(body))

    def _seal(self, body: bytes) -> bytes:
        return blake2b(self._scope + b"\0" + body, digest_size=_SEAL_BYTES).digest()
