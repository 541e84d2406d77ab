"""What the tests of sock_recv and its kin share: their names, a call of each, a quiet pair."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from io_tools import MIB, pair

NAMES = (
    "sock_recv",
    "sock_recv_into",
    "sock_recvfrom",
    "sock_recvfrom_into",
    "sock_sendall",
    "sock_sendto",
    "sock_connect",
    "sock_accept",
)


def call(loop: Any, name: str, sock: Any) -> Any:
    """The coroutine of a method; it waits, if the socket is one of a quiet pair."""
    arguments: dict[str, tuple[Any, ...]] = {
        "sock_recv": (100,),
        "sock_recv_into": (bytearray(100),),
        "sock_recvfrom": (100,),
        "sock_recvfrom_into": (bytearray(100),),
        "sock_sendall": (bytes(5 * MIB),),
        "sock_sendto": (b"data", "/nonexistent"),
        "sock_connect": ("/nonexistent",),
        "sock_accept": (),
    }
    return getattr(loop, name)(sock, *arguments[name])


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    left, right = pair()
    with left, right:
        yield left, right


Ends = tuple[socket.socket, socket.socket]
