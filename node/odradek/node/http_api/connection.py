"""One HTTP/1.1 connection: bytes to requests and answers to bytes, with limits on everything. h11 knows the protocol.

Decides when a peer is cut off: a request that is not whole within `REQUEST_S` of its first byte, a connection without
a request for `IDLE_S`, an answer that the peer does not take within `ANSWER_S`, a head or a body that is too large.
Bytes of a next request are not read while one is answered. What is answered is decided by `respond`, which runs as a
task per request: this door is for a scrape in seconds, not for clients.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Final, NamedTuple, cast

import h11

HEAD_BYTES_MAX: Final = 16 * 1024
BODY_BYTES_MAX: Final = 4 * 1024
REQUEST_S: Final = 5.0
IDLE_S: Final = 120.0
ANSWER_S: Final = 30.0

log = logging.getLogger(__name__)


class Request(NamedTuple):
    """`method` is GET or HEAD; `path` is without the query."""

    method: str
    path: str
    accept: str


class Response(NamedTuple):
    """`chunks` are the body; its length is known before the first byte leaves."""

    status: HTTPStatus
    content_type: str
    chunks: Sequence[bytes]


def plain(status: HTTPStatus, text: str) -> Response:
    return Response(status, "text/plain; charset=utf-8", [text.encode()])


class HttpConnection(asyncio.Protocol):
    """`on_open` returns False where there is no room for one more connection."""

    def __init__(
        self,
        respond: Callable[[Request], Awaitable[Response]],
        on_open: Callable[[HttpConnection], bool],
        on_close: Callable[[HttpConnection], None],
    ) -> None:
        self._respond = respond
        self._on_open = on_open
        self._on_close = on_close
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES_MAX)
        self._transport: asyncio.Transport | None = None
        self._request: h11.Request | None = None
        self._body_bytes = 0
        self._in_request = False  # bytes of one have come, it is not whole
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._writable = asyncio.Event()
        self._writable.set()

    # -- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if not self._on_open(self):
            self._transport.abort()
            return
        self._cut_off_in(IDLE_S)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._on_close(self)
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        self._http.receive_data(data)
        if self._task is None:
            if not self._in_request:
                # From the first byte of a request on; more bytes do not win more time.
                self._in_request = True
                self._cut_off_in(REQUEST_S)
            self._advance()

    def eof_received(self) -> None:
        # A half-closed peer still gets its answer: nothing is read, and so no end is seen, while one is made.
        assert self._task is None, "the end of a connection that is not read"
        self._http.receive_data(b"")
        self._advance()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # -- requests

    def _advance(self) -> None:
        """Take what has come in, up to the end of one request."""
        try:
            while self._take(self._http.next_event()):
                pass
        except h11.RemoteProtocolError as error:
            self._refuse(HTTPStatus(error.error_status_hint), str(error))

    def _take(self, event: object) -> bool:
        """One event; True when there may be another one."""
        if isinstance(event, h11.Request):
            self._request = event
            self._body_bytes = 0
        elif isinstance(event, h11.Data):
            self._body_bytes += len(event.data)
            if self._body_bytes > BODY_BYTES_MAX:
                self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "no request here has a body")
                return False
        elif isinstance(event, h11.EndOfMessage):
            self._answer()
            return False
        elif isinstance(event, h11.ConnectionClosed) or event is h11.PAUSED:
            self._close()
            return False
        return event is not h11.NEED_DATA

    def _answer(self) -> None:
        assert self._transport is not None and self._request is not None
        self._in_request = False
        self._transport.pause_reading()
        self._cut_off_in(ANSWER_S)
        self._task = asyncio.get_running_loop().create_task(self._run(self._request))

    async def _run(self, request: h11.Request) -> None:
        """The task boundary of a request: a bug in what answers it costs a 500 and a line in the log."""
        method = request.method.decode("latin-1")
        if method in ("GET", "HEAD"):
            try:
                response = await self._respond(Request(method, _path(request), _header(request, b"accept")))
            except Exception:
                log.exception("%s %s failed", method, _path(request))
                response = plain(HTTPStatus.INTERNAL_SERVER_ERROR, "this is a bug; the node's log has more\n")
        else:
            response = plain(HTTPStatus.METHOD_NOT_ALLOWED, "only GET and HEAD\n")
        await self._send(response, with_body=method != "HEAD")
        self._finish()

    async def _send(self, response: Response, *, with_body: bool) -> None:
        http = self._http
        self._write(http.send(_head(response)))
        for chunk in response.chunks if with_body else ():
            await self._writable.wait()
            self._write(http.send(h11.Data(data=chunk)))
        self._write(http.send(h11.EndOfMessage()))

    def _finish(self) -> None:
        """The answer has left: the connection is for the next request, or over."""
        self._task = None
        if self._http.our_state is h11.MUST_CLOSE or self._http.their_state is not h11.DONE:
            self._close()
            return
        if self._transport is None:
            return
        self._http.start_next_cycle()
        self._cut_off_in(IDLE_S)
        self._transport.resume_reading()
        if self._http.trailing_data[0]:
            self._in_request = True
            self._cut_off_in(REQUEST_S)
        self._advance()

    # -- ends

    def _refuse(self, status: HTTPStatus, text: str) -> None:
        """Tell a peer that broke the protocol, as far as it can be told, and close."""
        if self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            response = plain(status, f"{text}\n")
            self._write(self._http.send(_head(response, close=True)))
            self._write(self._http.send(h11.Data(data=response.chunks[0])))
            self._write(self._http.send(h11.EndOfMessage()))
        self._close()

    def _write(self, data: bytes | None) -> None:
        if data and self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _close(self) -> None:
        """Flush, then close; a peer that does not read is cut off by the timer."""
        if self._transport is not None:
            self._cut_off_in(ANSWER_S)
            self._transport.close()

    def _cut_off_in(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self.abort)


def _head(response: Response, *, close: bool = False) -> h11.Response:
    headers = [
        ("content-type", response.content_type),
        ("content-length", str(sum(map(len, response.chunks)))),
        ("cache-control", "no-store"),
    ]
    if response.status is HTTPStatus.METHOD_NOT_ALLOWED:
        headers.append(("allow", "GET, HEAD"))
    if close:
        headers.append(("connection", "close"))
    return h11.Response(status_code=int(response.status), headers=headers, reason=response.status.phrase)


def _path(request: h11.Request) -> str:
    return request.target.decode("latin-1").partition("?")[0]


def _header(request: h11.Request, name: bytes) -> str:
    """The values of a header, as one list."""
    return ",".join(value.decode("latin-1") for key, value in request.headers if key == name)
