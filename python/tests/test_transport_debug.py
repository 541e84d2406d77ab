"""What stream transports and servers tell in debug mode."""

from __future__ import annotations

import logging
import socket
import time
from typing import Any

import pytest
from conftest import Log, World
from net_tools import Guests, Recorder, call_on, receive, serving, wired


@pytest.fixture
def told(logged: Log, caplog: pytest.LogCaptureFixture) -> Log:
    """The log, with all that asyncio tells in debug mode."""
    caplog.set_level(logging.DEBUG, "asyncio")
    return logged


def test_reading_that_pauses_and_resumes(world: World, loop: Any, kind: str, told: Log) -> None:
    loop.set_debug(True)
    with wired(world, loop, Recorder(), kind) as (transport, _):
        for action, text in (("pause_reading", "pauses"), ("resume_reading", "resumes")):
            told.clear()
            getattr(transport, action)()
            assert told.texts() == [f"{transport!r} {text} reading"]
            assert told.records[0].levelno == logging.DEBUG
            told.clear()
            getattr(transport, action)()
            assert told.texts() == []


def test_the_peers_end(world: World, loop: Any, kind: str, told: Log) -> None:
    loop.set_debug(True)
    protocol = Recorder(eof_received=lambda _: True)
    with wired(world, loop, protocol, kind) as (_, peer):
        told.clear()
        peer.shutdown(socket.SHUT_WR)
        world.run_until(loop, lambda: "eof_received" in protocol.story)
        assert len([text for text in told.texts() if text.endswith("> received EOF")]) == 1


def test_a_guest(world: World, loop: Any, told: Log) -> None:
    loop.set_debug(True)
    guests = Guests()
    with serving(world, loop, guests) as server, call_on(server) as client:
        world.run_until(loop, lambda: guests.are_here(1))
        start = f"{server!r} got a new connection from {client.getsockname()!r}: <socket.socket fd="
        assert len([text for text in told.texts() if text.startswith(start)]) == 1


def test_without_debug_mode_nothing_is_told(world: World, loop: Any, told: Log) -> None:
    guests = Guests()
    with serving(world, loop, guests) as server, call_on(server) as client:
        world.run_until(loop, lambda: guests.are_here(1))
        guests[0].transport.pause_reading()
        guests[0].transport.resume_reading()
        client.shutdown(socket.SHUT_WR)
        world.run_until(loop, guests.are_gone)
    assert told.texts(logging.DEBUG + 1) == []
    words = ("reading", "EOF", "connection", "serving")
    assert [text for text in told.texts() if any(word in text for word in words)] == []


@pytest.mark.parametrize("name", ["connection_made", "data_received", "connection_lost"])
def test_a_slow_callback_is_told(world: World, loop: Any, kind: str, told: Log, name: str) -> None:
    loop.set_debug(True)
    loop.slow_callback_duration = 0.01
    protocol = Recorder(**{name: lambda *_: time.sleep(0.02)})
    with wired(world, loop, protocol, kind) as (_, peer):
        peer.sendall(b"x")
        peer.shutdown(socket.SHUT_WR)
        world.run_until(loop, lambda: bool(protocol.lost))
    slow = [text for text in told.texts(logging.WARNING) if "took" in text]
    assert slow
    for text in slow:
        assert text.startswith("Executing <Handle ")
        assert text.endswith(" seconds")


def test_a_slow_resume_writing_is_told(world: World, loop: Any, kind: str, told: Log) -> None:
    loop.set_debug(True)
    loop.slow_callback_duration = 0.01
    protocol = Recorder(resume_writing=lambda *_: time.sleep(0.02))
    with wired(world, loop, protocol, kind, small=True) as (transport, peer):
        transport.write(b"x" * 300_000)
        receive(loop, peer, 300_000)
    assert [text for text in told.texts(logging.WARNING) if "took" in text]
