"""The fault proxy on real sockets, in front of a server that echoes."""

import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from taskqueue_site.chaos.confirms import ConfirmFilter
from taskqueue_site.chaos.proxy import FaultProxy

SHORT = 0.3


def echo(listener: socket.socket) -> None:
    with suppress(OSError):
        while True:
            end, _ = listener.accept()
            threading.Thread(target=answer, args=(end,), daemon=True).start()


def answer(end: socket.socket) -> None:
    with suppress(OSError), end:
        while data := end.recv(65_536):
            end.sendall(data)


@pytest.fixture
def proxy() -> Iterator[FaultProxy]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=echo, args=(listener,), daemon=True).start()
        made = FaultProxy(listener.getsockname())
        yield made
        made.close()


def dial(proxy: FaultProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=5)


def say(end: socket.socket, data: bytes) -> bytes:
    end.sendall(data)
    return hear(end, len(data))


def hear(end: socket.socket, size: int) -> bytes:
    heard = b""
    while len(heard) < size and (data := end.recv(size - len(heard))):
        heard += data
    return heard


def hears_nothing(end: socket.socket) -> bool:
    end.settimeout(SHORT)
    try:
        return end.recv(1) == b"?"
    except TimeoutError:
        return True
    finally:
        end.settimeout(5)


def test_without_a_fault_every_byte_passes(proxy: FaultProxy):
    data = bytes(range(256)) * 4096
    with dial(proxy) as end:
        threading.Thread(target=end.sendall, args=(data,), daemon=True).start()
        assert hear(end, len(data)) == data


def test_a_goodbye_is_passed_on_and_forgotten(proxy: FaultProxy):
    with dial(proxy) as end:
        assert say(end, b"hello") == b"hello"
        end.shutdown(socket.SHUT_WR)
        assert end.recv(1) == b""
    deadline = time.monotonic() + 5
    while proxy.connections and time.monotonic() < deadline:
        time.sleep(0.01)
    assert proxy.connections == 0


def test_a_reset_cuts_what_is_open_and_lets_new_ones_through(proxy: FaultProxy):
    with dial(proxy) as old:
        assert say(old, b"hello") == b"hello"
        assert proxy.reset() == 1
        with pytest.raises(ConnectionResetError):
            old.recv(1)
    with dial(proxy) as new:
        assert say(new, b"again") == b"again"


def test_what_was_frozen_flows_on_when_it_is_healed(proxy: FaultProxy):
    with dial(proxy) as old:
        assert say(old, b"hello") == b"hello"
        proxy.freeze()
        time.sleep(0.05)
        old.sendall(b"later")
        with dial(proxy) as new:
            new.sendall(b"me too")
            assert hears_nothing(old)
            assert hears_nothing(new)
            proxy.heal()
            assert hear(old, 5) == b"later"
            assert hear(new, 6) == b"me too"


def test_a_half_open_connection_is_silent_until_it_is_cut(proxy: FaultProxy):
    with dial(proxy) as old:
        assert say(old, b"hello") == b"hello"
        proxy.half_open()
        old.sendall(b"anybody there")
        assert hears_nothing(old)
        proxy.heal()
        with pytest.raises(ConnectionResetError):
            old.recv(1)
    with dial(proxy) as new:
        assert say(new, b"again") == b"again"


def test_a_closed_door_refuses_until_it_is_healed(proxy: FaultProxy):
    with dial(proxy) as old:
        assert say(old, b"hello") == b"hello"
        proxy.refuse()
        with pytest.raises(ConnectionResetError):
            old.recv(1)
        with pytest.raises(ConnectionRefusedError):
            dial(proxy)
    proxy.heal()
    with dial(proxy) as new:
        assert say(new, b"again") == b"again"


def test_a_connection_is_cut_after_so_many_bytes(proxy: FaultProxy):
    with dial(proxy) as end:
        assert say(end, b"0123456789") == b"0123456789"
        proxy.cut_after(4)
        end.sendall(b"abcdefgh")
        with pytest.raises(ConnectionResetError):
            hear(end, 8)


def test_connections_are_cut_so_often_and_no_more(proxy: FaultProxy):
    proxy.cut_after(4, times=2)
    for _ in range(2):
        with dial(proxy) as end:
            end.sendall(b"abcdefgh")
            with pytest.raises(ConnectionResetError):
                hear(end, 8)
    with dial(proxy) as end:
        assert say(end, b"abcdefgh") == b"abcdefgh"


def test_delayed_data_arrives_whole_and_in_order(proxy: FaultProxy):
    proxy.delay(0.02, jitter=0.02)
    with dial(proxy) as end:
        assert say(end, b"a") + say(end, b"b") + say(end, b"c") == b"abc"


# --- Confirms -------------------------------------------------------------------------


def method(class_id: int, number: int, rest: bytes = b"") -> bytes:
    payload = struct.pack(">HH", class_id, number) + rest
    return struct.pack(">BHI", 1, 1, len(payload)) + payload + b"\xce"


CONFIRM = method(60, 80, struct.pack(">QB", 7, 0))
DELIVERY = method(60, 60, b"ctag and the rest")
HEARTBEAT = struct.pack(">BHI", 8, 0, 0) + b"\xce"
#: A body whose bytes look like a confirm.
BODY = struct.pack(">BHI", 3, 1, len(CONFIRM)) + CONFIRM + b"\xce"
ALL = DELIVERY + CONFIRM + BODY + HEARTBEAT + CONFIRM + CONFIRM + DELIVERY


@pytest.mark.parametrize("size", [1, 2, 7, 11, 1000])
def test_only_confirms_are_dropped_however_the_stream_is_cut(size: int):
    pieces = [ALL[i : i + size] for i in range(0, len(ALL), size)]
    dropping, passing = ConfirmFilter(), ConfirmFilter()
    dropped = b"".join(dropping.pass_on(piece, drop=True) for piece in pieces)
    passed = b"".join(passing.pass_on(piece, drop=False) for piece in pieces)
    assert dropped == DELIVERY + BODY + HEARTBEAT + DELIVERY
    assert passed == ALL
