"""Names and addresses: what can be answered at once, and threads for what has to be looked up.

Most of what a program asks `getaddrinfo()` is an address already. The module socket needs no
network for it and no thread is worth the while; `known()` answers the commonest of these questions
itself, and `is_numeric()` tells which others the module socket may be asked in the loop's thread.

Threads of our own for the rest, not the default executor: a program that keeps that one busy can
still resolve names, and a loop that closes waits for nobody.
"""

from __future__ import annotations

import queue
import socket
import sys
import threading
from _socket import getnameinfo, inet_aton, inet_ntop, inet_pton

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from typing import Any

__all__ = ("Resolver", "are_numbers_wanted", "getaddrinfo", "getnameinfo", "is_numeric", "known")

# The function of the module socket; None if somebody had replaced it before we came.
getaddrinfo: Any = None
if getattr(socket.getaddrinfo, "__globals__", None) is vars(socket):
    getaddrinfo = socket.getaddrinfo

# Numbers of the kernel, without the enum around them, which takes its time.
_AF_INET = int(socket.AF_INET)
_AF_INET6 = int(socket.AF_INET6)

# As many look-ups run at once. They hardly do anything but wait.
_MOST_THREADS = 32

_NUMERIC_NAMES = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV

# The flags that change nothing for an address and a port that are numbers.
_IDLE_FLAGS = frozenset(
    passive | numeric_host | numeric_port
    for passive in (0, int(socket.AI_PASSIVE))
    for numeric_host in (0, int(socket.AI_NUMERICHOST))
    for numeric_port in (0, int(socket.AI_NUMERICSERV))
)

# What `getaddrinfo()` says beside the address, by what it was asked beside host and port: whether
# the host has the form of IPv6, family, type, protocol. It says the same for every address.
_ANSWERS: dict[tuple[bool, int, int, int], list[tuple[Any, ...]]] = {}
_MOST_ANSWERS = 256


def known(host: Any, port: Any, family: Any, kind: Any, proto: Any, flags: Any) -> list[Any] | None:
    """Answer as the module socket would, if the host is an address and the rest is as usual.

    None if that is not so; errors are among what is not usual.
    """
    if not (
        host.__class__ is str
        and port.__class__ is int
        and 0 <= port <= 0xFFFF
        and isinstance(family, int)
        and isinstance(kind, int)
        and isinstance(proto, int)
        and isinstance(flags, int)
        and flags in _IDLE_FLAGS
    ):
        return None
    is_ipv6 = ":" in host
    address: tuple[Any, ...]
    # There and back: an address is told in its shortest form.
    try:
        if is_ipv6:
            address = (inet_ntop(_AF_INET6, inet_pton(_AF_INET6, host)), port, 0, 0)
        else:
            address = (inet_ntop(_AF_INET, inet_pton(_AF_INET, host)), port)
    except (OSError, ValueError):
        return None
    key = (is_ipv6, family, kind, proto)
    answers = _ANSWERS.get(key)
    if answers is None:
        # The first to ask so is answered by the module socket, and we listen.
        found: list[Any] = getaddrinfo(host, port, family, kind, proto, flags)
        if len(_ANSWERS) < _MOST_ANSWERS and all(each[3:] == ("", address) for each in found):
            _ANSWERS[key] = [each[:4] for each in found]
        return found
    sys.audit("socket.getaddrinfo", host, port, family, kind, proto)
    return [(*each, address) for each in answers]


def is_numeric(host: Any, port: Any, flags: Any) -> bool:
    """Whether `getaddrinfo()` of the module socket has nothing to look up for this question."""
    return _is_numeric_port(port) and _is_numeric_host(host, flags)


def are_numbers_wanted(flags: Any) -> bool:
    """Whether `getnameinfo()` of the module socket has nothing to look up with these flags."""
    return isinstance(flags, int) and flags & _NUMERIC_NAMES == _NUMERIC_NAMES


def _is_numeric_port(port: Any) -> bool:
    # What is none may be the name of a service, and somebody may have to be asked for it. To the
    # system numbers out of range are such names, too.
    if port is None:
        return True
    if isinstance(port, int):
        return 0 <= port <= 0xFFFF
    if isinstance(port, (str, bytes, bytearray)):
        return len(port) == 0 or (len(port) <= 5 and port.isascii() and port.isdigit())
    return False


def _is_numeric_host(host: Any, flags: Any) -> bool:
    if host is None:
        return True
    if not isinstance(host, (str, bytes, bytearray)) or len(host) > 255:
        return False
    if isinstance(flags, int) and flags & socket.AI_NUMERICHOST:
        return True
    if not host.isascii():
        return False
    text = host if isinstance(host, str) else host.decode()
    try:
        if ":" in text:
            inet_pton(_AF_INET6, text.partition("%")[0])
            return True
        # Nothing but these: the function also takes what has anything behind a space.
        if text.strip("0123456789abcdefABCDEFxX."):
            return False
        inet_aton(text)
    except (OSError, ValueError):
        return False
    return True


class Resolver:
    """Threads that look names up for one loop, in the order in which they are asked.

    They are daemons: nobody waits for one that waits for the network, neither a loop that closes
    nor a program that ends.
    """

    __slots__ = ("_questions", "_thread_count", "_unanswered")

    # None tells a thread to end.
    _questions: queue.SimpleQueue[_Question | None]
    _thread_count: int
    # Asked and not yet answered. Only the loop's thread counts, so it needs no lock.
    _unanswered: int

    def __init__(self) -> None:
        self._questions = queue.SimpleQueue()
        self._thread_count = 0
        self._unanswered = 0

    def ask(
        self, loop: asyncio.AbstractEventLoop, function: Callable[..., Any], args: tuple[Any, ...]
    ) -> asyncio.Future[Any]:
        """Call `function(*args)` in a thread; return a future of the loop for its outcome."""
        if self._unanswered >= self._thread_count < _MOST_THREADS:
            self._start_thread()
        future = loop.create_future()
        self._unanswered += 1
        self._questions.put(_Question(self, loop, future, function, args))
        return future

    def close(self) -> None:
        """Forget what nobody has begun to look up, and let the threads end when they can."""
        try:
            while True:
                self._questions.get_nowait()
        except queue.Empty:
            pass
        for _ in range(self._thread_count):
            self._questions.put(None)
        self._thread_count = 0

    def _start_thread(self) -> None:
        thread = threading.Thread(
            target=_answer_all,
            args=(self._questions,),
            name=f"batonloop-resolver_{self._thread_count}",
            daemon=True,
        )
        try:
            thread.start()
        except RuntimeError:
            # There is no room for one more. Those that there are will do.
            if self._thread_count == 0:
                raise
        else:
            self._thread_count += 1


class _Question:
    """Something to look up, and the future that waits for it."""

    __slots__ = ("args", "function", "future", "loop", "resolver")

    def __init__(
        self,
        resolver: Resolver,
        loop: asyncio.AbstractEventLoop,
        future: asyncio.Future[Any],
        function: Callable[..., Any],
        args: tuple[Any, ...],
    ) -> None:
        self.resolver = resolver
        self.loop = loop
        self.future = future
        self.function = function
        self.args = args

    def answer(self) -> None:
        """Look it up, in this thread, and let the loop settle the future."""
        result: Any = None
        error: BaseException | None = None
        if not self.future.done():
            try:
                result = self.function(*self.args)
            except BaseException as raised:
                error = raised
        try:
            self.loop.call_soon_threadsafe(self.settle, result, error)
        except RuntimeError:
            # A closed loop waits for no answer.
            if not self.loop.is_closed():
                raise
        finally:
            # The error's traceback leads here, and so must not find the future that will hold it.
            del self, error

    def settle(self, result: Any, error: BaseException | None) -> None:
        """Give the future its outcome, in the loop's thread; it may have been cancelled since."""
        self.resolver._unanswered -= 1
        if self.future.done():
            return
        if error is None:
            self.future.set_result(result)
        else:
            self.future.set_exception(error)


def _answer_all(questions: queue.SimpleQueue[_Question | None]) -> None:
    """What a thread does. While it waits it holds neither a loop nor what was asked of it."""
    while (question := questions.get()) is not None:
        question.answer()
        del question
