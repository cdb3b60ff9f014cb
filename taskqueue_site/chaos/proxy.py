"""A TCP proxy that misbehaves on request, in front of one server.

It runs in a thread of its own, so that whoever plans the faults may sleep or start
processes meanwhile. Every fault holds until `heal`, for the connections that are open
and for those that come; `reset` happens once.
"""

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any, Final, TypeVar

from taskqueue_site.chaos.confirms import ConfirmFilter

#: Where the server listens: a unix socket, or host and port.
Target = Path | tuple[str, int]
HOST: Final = "127.0.0.1"
_T = TypeVar("_T")
_CHUNK: Final = 65_536
_ANSWER_SECONDS: Final = 10.0
#: A close with this option sends RST and drops what was not sent yet.
_AT_ONCE: Final = struct.pack("ii", 1, 0)


@dataclass
class _Rules:
    """What holds at the moment."""

    delay_s: float = 0.0
    jitter_s: float = 0.0
    cut_after: int | None = None
    cuts_left: int | None = None
    drops_confirms: bool = False


@dataclass(eq=False)
class _Link:
    """One connection through the proxy: the client's end and the server's."""

    near: asyncio.StreamWriter
    far: asyncio.StreamWriter | None = None
    is_half_open: bool = False
    confirms: ConfirmFilter = field(default_factory=ConfirmFilter)

    def abort(self) -> None:
        for end in (self.near, self.far):
            if end is not None:
                _abort(end)


class FaultProxy:
    """Passes bytes between its own loopback port and a server."""

    def __init__(self, target: Target, *, speaks_amqp: bool = False) -> None:
        """Listen at once; with `speaks_amqp` it can drop the broker's confirms."""
        self._target = target
        self._speaks_amqp = speaks_amqp
        self._random = Random(0)  # noqa: S311 - jitter
        self._rules = _Rules()
        self._links: set[_Link] = set()
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self.port = 0
        self._thread = threading.Thread(
            target=self._loop.run_forever, daemon=True, name="proxy"
        )
        self._thread.start()
        self._do(self._set_up())

    # --- Faults -----------------------------------------------------------------------

    def delay(self, seconds: float, jitter: float = 0.0) -> None:
        """Hold every piece of data back for `seconds`, and up to `jitter` more."""
        self._rules.delay_s, self._rules.jitter_s = seconds, jitter

    def reset(self) -> int:
        """Cut every connection with RST; new ones are let through. Returns how many."""
        return self._do(self._reset())

    def freeze(self) -> None:
        """Pass nothing: connections stay open, new ones are taken and hear nothing."""
        self._call(self._flowing.clear)

    def half_open(self) -> None:
        """Close the server's side of every connection; the clients are not told.

        New connections are taken and hear nothing.
        """
        self._do(self._part())

    def refuse(self) -> None:
        """Cut every connection, and let new ones be refused."""
        self._do(self._close_door())

    def cut_after(self, size: int, *, times: int | None = None) -> None:
        """Cut each connection when it has passed `size` more bytes; so often at most.

        Bytes that were passed and not yet read are lost with the connection.
        """
        self._rules = replace(self._rules, cut_after=size, cuts_left=times)

    def drop_confirms(self) -> None:
        """Let no confirm of a published message reach its publisher."""
        self._rules.drops_confirms = True

    def heal(self) -> None:
        """End every fault; what was frozen flows on, what was half open is cut."""
        self._rules = _Rules()
        self._do(self._heal())

    def close(self) -> None:
        """Cut everything, and listen no more."""
        self._do(self._close_door())
        self._do(self._end_tasks())
        self._call(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._links)

    # --- In the thread ----------------------------------------------------------------

    def _do(self, work: Coroutine[Any, Any, _T]) -> _T:
        done: Future[_T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return done.result(_ANSWER_SECONDS)

    def _call(self, work: Callable[[], object]) -> None:
        self._loop.call_soon_threadsafe(work)

    async def _set_up(self) -> None:
        self._flowing = asyncio.Event()
        self._flowing.set()
        await self._open_door()

    async def _open_door(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, HOST, self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def _close_door(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._reset()

    @staticmethod
    async def _end_tasks() -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _reset(self) -> int:
        links, self._links = self._links, set()
        for link in links:
            link.abort()
        return len(links)

    async def _part(self) -> None:
        self._flowing.clear()
        for link in self._links:
            link.is_half_open = True
            if link.far is not None:
                _abort(link.far)

    async def _heal(self) -> None:
        for link in [link for link in self._links if link.is_half_open]:
            link.abort()
        await self._open_door()
        self._flowing.set()

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        link = _Link(writer)
        self._links.add(link)
        try:
            await self._flowing.wait()
            if link not in self._links:
                return
            back, link.far = await self._connect()
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._pump(link, reader, link.far))
                pumps.create_task(self._pump(link, back, writer, is_answer=True))
        except* OSError:
            link.abort()
        finally:
            link.abort()
            self._links.discard(link)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._target, Path):
            return await asyncio.open_unix_connection(self._target)
        return await asyncio.open_connection(*self._target)

    async def _pump(
        self,
        link: _Link,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        *,
        is_answer: bool = False,
    ) -> None:
        passed, rules = 0, self._rules
        while data := await source.read(_CHUNK):
            await self._hold_back()
            if is_answer and self._speaks_amqp:
                data = link.confirms.pass_on(data, drop=self._rules.drops_confirms)
            if self._rules is not rules:
                passed, rules = 0, self._rules
            passed += len(data)
            if rules.cut_after is not None and passed > rules.cut_after:
                sink.write(data[: rules.cut_after - passed])
                self._note_cut()
                raise ConnectionResetError
            sink.write(data)
            await sink.drain()
        if link.is_half_open:
            return
        with suppress(OSError):
            sink.write_eof()

    def _note_cut(self) -> None:
        rules = self._rules
        if rules.cuts_left is None:
            return
        rules.cuts_left -= 1
        if not rules.cuts_left:
            rules.cut_after = None

    async def _hold_back(self) -> None:
        rules = self._rules
        if rules.delay_s or rules.jitter_s:
            jitter = self._random.random() * rules.jitter_s
            await asyncio.sleep(rules.delay_s + jitter)
        await self._flowing.wait()


def _abort(end: asyncio.StreamWriter) -> None:
    opened = end.get_extra_info("socket")
    if opened is not None and opened.family != socket.AF_UNIX:
        with suppress(OSError):
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    end.transport.abort()
