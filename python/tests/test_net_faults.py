"""Calls of the kernel that fail, one by one: what becomes of whoever made them, in both worlds.

The scenarios are in `fault_scenarios.py`, and `faults.py` says how a call is made to fail. Where
strace cannot attach to a process, there is nothing to see here.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import World, chosen_worlds
from faults import ACCEPT, RECEIVE, SEND, Victim, why_not
from io_tools import PY

# A victim that hangs or dies is replaced, by one with descriptors of its own.
pytestmark = pytest.mark.may_leave_fds

# Not every machine has the first of these.
PIPE_CALLS = "?pipe,pipe2"


class Victims:
    def __init__(self, directory: Any) -> None:
        self.directory = directory
        self.of: dict[str, Victim] = {}
        for name in chosen_worlds():
            self.start(name)

    def start(self, name: str) -> None:
        self.of[name] = Victim(World(name), self.directory.mktemp(name))

    def play(self, world: World, scenario: str, *faults: str, **kwargs: bool) -> list[Any]:
        try:
            return self.of[world.name].play(scenario, *faults, **kwargs)
        except BaseException:
            self.of[world.name].process.kill()
            self.of[world.name].close()
            self.start(world.name)
            raise

    def close(self) -> None:
        for victim in self.of.values():
            victim.close()


@pytest.fixture(scope="module")
def victims(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victims]:
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    result = Victims(tmp_path_factory)
    yield result
    result.close()


def name_of(number: int) -> str:
    """An error as the stories tell it."""
    return f"{type(OSError(number, '')).__name__}({number})"


def errors(*names: str) -> list[Any]:
    return [pytest.param(name, getattr(errno, name), id=name) for name in names]


@pytest.fixture
def play(world: World, victims: Victims) -> Any:
    def play(scenario: str, *faults: str, **kwargs: bool) -> list[Any]:
        return victims.play(world, scenario, *faults, **kwargs)

    return play


# The whole story where nothing fails, or nothing that anybody needs to know of.
WELL = {
    "accept": ["made", "data", "served 2", "lost None"],
    "sock_accept": ["returned"],
    "connect": ["made", "returned", "lost None"],
    "connect_to_two": ["made", "returned", "lost None"],
    "sock_connect": ["returned"],
    "receive": ["data", "got hello", "lost None"],
    "receive_buffered": ["data", "got hello", "lost None"],
    "receive_eof": ["eof", "lost None"],
    "sock_recv": ["returned", "b'hello'"],
    "sock_recv_later": ["returned", "b'hello'"],
    "send": ["open", "arrived hello", "lost None"],
    "send_lines": ["open", "arrived hello", "lost None"],
    "send_more": ["all arrived", "waiting 0", "lost None"],
    "sock_sendall": ["returned"],
    "sock_sendall_more": ["returned", "all arrived"],
    "echo": ["data", "the same", "lost None", "eof", "lost None"],
    "datagram_send": ["nothing waits", "open", "arrived one two", "lost None"],
    "datagram_receive": ["datagram one", "lost None"],
    "pipe_read": ["data", "got hello", "eof", "lost None"],
    "pipe_write": ["open", "lost None", "arrived hello"],
    "watch": [*["added", "called", "removed: True"] * 2, "called at last"],
    "watch_sock_recv": ["returned", "b'hello'"],
    "watch_transport": ["made", "lost None", "closed"],
    "make_connection": ["made", "returned"],
    "make_datagrams": ["returned"],
    "make_server": ["returned", "sockets 1"],
    "make_unix_connection": ["raised: FileNotFoundError(2)"],
    "make_loop": ["made"],
    "spawn": ["status -9"],
}


@pytest.mark.parametrize("scenario", WELL)
def test_without_faults_all_goes_well(play: Any, scenario: str) -> None:
    assert play(scenario) == WELL[scenario]


# --- Again, please -------------------------------------------------------------------------


RECEIVING = ["receive", "receive_buffered", "receive_eof", "sock_recv", "sock_recv_later"]
RECEIVING += ["datagram_receive", "pipe_read"]
SENDING = ["send", "send_lines", "send_more", "sock_sendall", "sock_sendall_more"]
SENDING += ["datagram_send", "pipe_write"]


@pytest.mark.parametrize("error", ["EINTR", "EAGAIN"])
@pytest.mark.parametrize("count", ["1", "1..3"])
@pytest.mark.parametrize(
    ("calls", "scenario"),
    [
        *((ACCEPT, scenario) for scenario in ("accept", "sock_accept")),
        *((RECEIVE, scenario) for scenario in RECEIVING),
        *((SEND, scenario) for scenario in SENDING),
    ],
)
def test_what_should_be_tried_again_is(
    play: Any, calls: str, scenario: str, error: str, count: str
) -> None:
    story = play(scenario, f"{calls}:error={error}:when={count}")
    expected = WELL[scenario]
    if scenario == "datagram_send" and error == "EAGAIN":
        expected = ["waiting", *expected[1:]]
    # After a signal the call is made again at once.
    if scenario in ("send", "send_lines") and error == "EAGAIN":
        expected = ["waiting", *expected]
    assert story == expected


@pytest.mark.parametrize("error", ["EINTR", "EAGAIN"])
@pytest.mark.parametrize("when", ["1+2", "2+2", "1+3", "2+5", "1..20"])
def test_a_storm_of_errors_changes_no_byte(play: Any, error: str, when: str) -> None:
    faults = [f"{calls}:error={error}:when={when}" for calls in (RECEIVE, SEND)]
    assert play("echo", *faults) == WELL["echo"]
    assert play("send_more", faults[1]) == WELL["send_more"]


@pytest.mark.parametrize("when", ["1", "1+2", "1..5"])
def test_an_interrupted_rest_goes_on(play: Any, when: str) -> None:
    # All the calls that a loop may rest in.
    faults = f"?epoll_wait,epoll_pwait,?epoll_pwait2:error=EINTR:when={when}"
    assert play("echo", faults) == WELL["echo"]
    assert play("pipe_read", faults) == WELL["pipe_read"]


@pytest.mark.parametrize("scenario", ["connect", "sock_connect", "connect_to_two"])
def test_an_interrupted_connect_goes_on_by_itself(play: Any, scenario: str) -> None:
    # Nothing of it has begun here, but that is not what the error says.
    assert play(scenario, "connect:error=EINTR:when=1") == WELL[scenario]


# --- Accepting and connecting ---------------------------------------------------------------


@pytest.mark.parametrize(("error", "number"), errors("EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"))
@pytest.mark.parametrize("when", ["1", "1..5", "1..120"])
def test_a_server_without_resources_pauses_and_goes_on(
    play: Any, error: str, number: int, when: str
) -> None:
    report = f"handler: socket.accept() out of system resource {name_of(number)}"
    assert play("accept", f"{ACCEPT}:error={error}:when={when}") == [report, *WELL["accept"]]


@pytest.mark.parametrize("when", ["1", "1..3"])
def test_a_client_that_has_gone_again_is_passed_over(play: Any, when: str) -> None:
    assert play("accept", f"{ACCEPT}:error=ECONNABORTED:when={when}") == WELL["accept"]


@pytest.mark.parametrize(("error", "number"), errors("EPERM", "EPROTO", "EINVAL"))
def test_another_error_of_accept_is_reported(play: Any, error: str, number: int) -> None:
    report = f"handler: Exception in callback {name_of(number)}"
    assert play("accept", f"{ACCEPT}:error={error}:when=1") == [report, *WELL["accept"]]


@pytest.mark.parametrize(
    ("error", "number"),
    errors("EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "ECONNABORTED", "EPERM"),
)
def test_sock_accept_raises_what_accept_says(play: Any, error: str, number: int) -> None:
    story = play("sock_accept", f"{ACCEPT}:error={error}:when=1")
    assert story == [f"raised: {name_of(number)}"]


@pytest.mark.parametrize(
    ("error", "number"),
    errors("ECONNREFUSED", "ENETUNREACH", "EHOSTUNREACH", "ETIMEDOUT", "EACCES", "EADDRNOTAVAIL"),
)
def test_a_connect_that_fails(play: Any, error: str, number: int) -> None:
    fault = f"connect:error={error}:when=1"
    assert play("connect", fault) == [f"raised: {name_of(number)}"]
    assert play("sock_connect", fault) == [f"raised: {name_of(number)}"]
    # There is another address.
    assert play("connect_to_two", fault) == WELL["connect_to_two"]


# --- Receiving and sending --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "number"), errors("ECONNRESET", "ETIMEDOUT", "ENOMEM", "EHOSTUNREACH")
)
def test_a_receive_that_fails(play: Any, error: str, number: int) -> None:
    fault, told = f"{RECEIVE}:error={error}:when=1", name_of(number)
    for scenario in ("receive", "receive_buffered"):
        assert play(scenario, fault) == [f"lost {told}", "got "]
    assert play("receive_eof", fault) == [f"lost {told}"]
    for scenario in ("sock_recv", "sock_recv_later"):
        assert play(scenario, fault) == [f"raised: {told}", "None"]
    # An endpoint for datagrams lives on, and the datagram is still there.
    assert play("datagram_receive", fault) == [f"error {told}", *WELL["datagram_receive"]]
    report = f"handler: Fatal read error on pipe transport {told}"
    assert play("pipe_read", fault) == [report, f"lost {told}", "got "]


def test_a_terminal_that_has_gone_is_not_reported(play: Any) -> None:
    # Linux says EIO when the other end of a terminal is closed.
    story = play("pipe_read", f"{RECEIVE}:error=EIO:when=1")
    assert story == ["lost OSError(5)", "got "]


@pytest.mark.parametrize(
    ("error", "number"), errors("EPIPE", "ECONNRESET", "ENOBUFS", "ENOMEM", "EHOSTUNREACH")
)
def test_a_send_that_fails(play: Any, error: str, number: int) -> None:
    fault, told = f"{SEND}:error={error}:when=1", name_of(number)
    for scenario in ("send", "send_lines"):
        assert play(scenario, fault) == ["closing", f"lost {told}"]
    assert play("send_more", fault) == [f"lost {told}", "a part arrived", "waiting 0"]
    assert play("sock_sendall", fault) == [f"raised: {told}"]
    assert play("sock_sendall_more", fault) == [f"raised: {told}", "a part arrived"]
    story = [f"error {told}", "nothing waits", "open", "arrived two", "lost None"]
    assert play("datagram_send", fault) == story
    assert play("pipe_write", fault) == ["closing", f"lost {told}", "arrived "]


# --- The selector ------------------------------------------------------------------------------


@pytest.mark.parametrize(("error", "number"), errors("ENOSPC", "ENOMEM", "EPERM"))
def test_a_descriptor_that_cannot_be_watched(play: Any, error: str, number: int) -> None:
    fault, told = f"epoll_ctl:error={error}:when=1", name_of(number)
    assert play("watch", fault) == [
        *[f"raised: {told}", "removed: False"],
        *["added", "called", "removed: True"],
        "called at last",
    ]
    assert play("watch_sock_recv", fault) == [f"raised: {told}", *WELL["watch_sock_recv"]]


@pytest.mark.parametrize(("error", "number"), errors("ENOSPC", "ENOMEM", "EPERM"))
def test_a_transport_that_cannot_be_watched(play: Any, error: str, number: int) -> None:
    # It may be refused, or reported; somebody is told, and nothing stays open.
    told = name_of(number)
    story = play("watch_transport", f"epoll_ctl:error={error}:when=1")
    assert story in (
        [f"told {told}"],
        ["made", f"told {told}"],
        ["made", f"handler: Exception in callback {told}", "told", "lost None", "closed"],
    )


# --- No more descriptors --------------------------------------------------------------------------


@pytest.mark.parametrize(("error", "number"), errors("EMFILE", "ENFILE", "ENOBUFS", "EAFNOSUPPORT"))
@pytest.mark.parametrize("scenario", ["make_connection", "make_datagrams", "make_unix_connection"])
def test_a_socket_that_cannot_be_made(play: Any, scenario: str, error: str, number: int) -> None:
    story = play(scenario, f"socket:error={error}:when=1")
    assert story == [f"raised: {name_of(number)}"]


def test_a_server_whose_socket_cannot_be_made(play: Any) -> None:
    story = play("make_server", "socket:error=EMFILE:when=1")
    if PY >= (3, 13):
        text = "could not bind on any address out of [('127.0.0.1', 0)]"
        assert story == [f"raised: OSError: {text}"]
    else:
        # asyncio passes over addresses that cannot be used, were it the last one.
        assert story == ["returned", "sockets 0"]


@pytest.mark.parametrize(("error", "number"), errors("EMFILE", "ENFILE"))
@pytest.mark.parametrize("when", [1, 2])
def test_a_child_whose_pipes_cannot_be_made(play: Any, error: str, number: int, when: int) -> None:
    story = play("spawn", f"{PIPE_CALLS}:error={error}:when={when}")
    assert story == [f"raised: {name_of(number)}"]


@pytest.mark.parametrize(("error", "number"), errors("EAGAIN", "ENOMEM"))
def test_a_child_that_cannot_be_born(play: Any, error: str, number: int) -> None:
    story = play("spawn", f"?vfork,?fork,clone,?clone3:error={error}:when=1")
    assert story == [f"raised: {name_of(number)}"]


@pytest.mark.parametrize(("error", "number"), errors("EMFILE", "ENFILE", "ENOMEM"))
def test_a_loop_that_cannot_be_made(play: Any, error: str, number: int) -> None:
    story = play("make_loop", f"epoll_create1:error={error}:when=1")
    assert story == [f"raised: {name_of(number)}", "made"]


@pytest.mark.parametrize(
    ("error", "number"), errors("EMFILE", "ENFILE", "ENOMEM", "ENOSYS", "EPERM")
)
def test_a_child_that_cannot_be_watched(world: World, play: Any, error: str, number: int) -> None:
    # In 3.11 asyncio does without.
    story = play("spawn", f"pidfd_open:error={error}:when=1", surely=PY > (3, 11))
    # asyncio leaves a task behind.
    lost = "handler: Task was destroyed but it is pending! None"
    refused = [f"raised: {name_of(number)}"]
    if world.is_ours:
        # There are no pidfds at all, and a thread waits; or just not now.
        assert story == (WELL["spawn"] if error in ("ENOSYS", "EPERM") else refused)
    elif PY == (3, 11):
        assert story == WELL["spawn"]
    else:
        assert story in (refused, [*refused, lost])


@pytest.mark.parametrize(("error", "number"), errors("ENOSPC", "ENOMEM"))
def test_a_child_whose_end_cannot_be_watched(
    world: World, play: Any, error: str, number: int
) -> None:
    if not world.is_ours:
        pytest.skip("asyncio leaves the descriptor of the child open, or has none")
    story = play("spawn", f"epoll_ctl:error={error}:when=1")
    assert story == [f"raised: {name_of(number)}"]
