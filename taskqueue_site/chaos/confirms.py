"""Tells a broker's confirms from everything else that AMQP 0-9-1 carries.

A frame is type (1 byte), channel (2), size of the payload (4), payload, end mark (1).
A method's payload begins with its class and its number, two bytes each. A broker sends
`basic.ack` to a client for one reason only: to confirm what that client published.
"""

import struct
from typing import Final

_HEAD: Final = struct.Struct(">BHI")
_METHOD: Final = struct.Struct(">HH")
_IS_METHOD: Final = 1
_BASIC_ACK: Final = (60, 80)


class ConfirmFilter:
    """Passes on what a broker sends on one connection, whole frames at a time."""

    def __init__(self) -> None:
        self._rest = b""

    def pass_on(self, data: bytes, *, drop: bool) -> bytes:
        """Return the frames that are complete by now, without confirms if asked so."""
        data = self._rest + data
        kept, start = [], 0
        while (end := _frame_end(data, start)) is not None:
            frame = data[start:end]
            if not (drop and _is_confirm(frame)):
                kept.append(frame)
            start = end
        self._rest = data[start:]
        return b"".join(kept)


def _frame_end(data: bytes, start: int) -> int | None:
    if len(data) < start + _HEAD.size:
        return None
    _, _, size = _HEAD.unpack_from(data, start)
    end: int = start + _HEAD.size + size + 1
    return end if end <= len(data) else None


def _is_confirm(frame: bytes) -> bool:
    is_method = frame[0] == _IS_METHOD and len(frame) > _HEAD.size + _METHOD.size
    return is_method and _METHOD.unpack_from(frame, _HEAD.size) == _BASIC_ACK
