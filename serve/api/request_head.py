"""The head of a request bounded in size and in time, which uvicorn leaves open; for servers without a proxy in front."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES = 65_536
"""A query of 256 labels fits. What is read at a time is added, a quarter of a megabyte at most."""
HEAD_S = 10.0


class BoundedHead(HttpToolsProtocol):
    """HTTP/1.1 whose requests begin with a head of HEAD_BYTES, within HEAD_S from their first byte or the connection's begin."""

    _bytes: int | None = None
    """Of a head that has not ended; None elsewhere."""
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Expect a first request."""
        super().connection_made(transport)
        self._begin()

    def data_received(self, data: bytes) -> None:
        """Refuse a head that is too long."""
        super().data_received(data)
        if self._bytes is not None and not self.transport.is_closing():
            self._bytes += len(data)
            if self._bytes > HEAD_BYTES:
                self.send_400_response(f"The head of the request is longer than {HEAD_BYTES:,} bytes.")

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        self._begin()

    def on_headers_complete(self) -> None:
        """A head ends."""
        self._end()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing comes any more."""
        self._end()
        super().connection_lost(exc)

    def _begin(self) -> None:
        self._end()
        self._bytes = 0
        self._late = self.loop.call_later(HEAD_S, self.transport.close)

    def _end(self) -> None:
        self._bytes = None
        if self._late is not None:
            self._late.cancel()
