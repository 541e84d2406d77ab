"""The native module: the event loop's turn, handles, futures and tasks."""

import asyncio
import sys
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextvars import Context
from typing import Any, Final, Self, TypeVar, TypeVarTuple, final, overload

_T = TypeVar("_T")
_T_co = TypeVar("_T_co", covariant=True)
_Ts = TypeVarTuple("_Ts")
_TaskLike = Generator[Any, None, _T] | Coroutine[Any, Any, _T]
_TaskFactory = Callable[..., asyncio.Future[Any]]

__version__: Final[str]
LAYOUT: Final[str]
SELECTOR: Final[str]

class Handle(asyncio.Handle):
    """A callback that the loop will call, unless it is cancelled before."""

    def __init__(
        self,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        loop: asyncio.AbstractEventLoop,
        context: Context | None = None,
    ) -> None: ...
    def get_context(self) -> Context: ...

class TimerHandle(Handle, asyncio.TimerHandle):
    """A callback that the loop will call at a given time, unless it is cancelled before."""

    def __init__(
        self,
        when: float,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        loop: asyncio.AbstractEventLoop,
        context: Context | None = None,
    ) -> None: ...
    def __eq__(self, value: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __lt__(self, value: asyncio.TimerHandle, /) -> bool: ...
    def __le__(self, value: asyncio.TimerHandle, /) -> bool: ...
    def __gt__(self, value: asyncio.TimerHandle, /) -> bool: ...
    def __ge__(self, value: asyncio.TimerHandle, /) -> bool: ...

class Future(asyncio.Future[_T]):
    """A result that will be there later."""

    def __init__(self, *, loop: asyncio.AbstractEventLoop | None = None) -> None: ...

class Task(Future[_T_co], asyncio.Task[_T_co]):  # type: ignore[type-var]
    """A coroutine that the loop runs, and the future of its result."""

    if sys.version_info >= (3, 12):
        def __init__(
            self,
            coro: _TaskLike[_T_co],
            *,
            loop: asyncio.AbstractEventLoop | None = None,
            name: str | None = None,
            context: Context | None = None,
            eager_start: bool = False,
        ) -> None: ...
    else:
        def __init__(
            self,
            coro: _TaskLike[_T_co],
            *,
            loop: asyncio.AbstractEventLoop | None = None,
            name: str | None = None,
            context: Context | None = None,
        ) -> None: ...

class EventLoop:
    """The native half of an event loop: what is queued, and the turn."""

    slow_callback_duration: float
    _poll_interval: int

    def __new__(cls, *args: Any, **kwargs: Any) -> Self: ...

    # Calling back.
    def call_soon(
        self,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> Handle: ...
    def call_soon_threadsafe(
        self,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> Handle: ...
    def call_later(
        self,
        delay: float,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> TimerHandle: ...
    def call_at(
        self,
        when: float,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> TimerHandle: ...
    def time(self) -> float: ...

    # Futures and tasks.
    def create_future(self) -> Future[Any]: ...
    def create_task(
        self,
        coro: _TaskLike[_T],
        *,
        name: object = None,
        context: Context | None = None,
        **kwargs: Any,
    ) -> asyncio.Task[_T]: ...
    def get_task_factory(self) -> _TaskFactory | None: ...
    def set_task_factory(self, factory: _TaskFactory | None) -> None: ...

    # Running.
    def run_forever(self) -> None: ...
    def stop(self) -> None: ...
    def is_running(self) -> bool: ...
    def is_closed(self) -> bool: ...
    def get_debug(self) -> bool: ...
    def set_debug(self, enabled: bool) -> None: ...

    # Descriptors.
    def _add_reader(self, fd: Any, callback: Callable[[*_Ts], Any], *args: *_Ts) -> Handle: ...
    def _remove_reader(self, fd: Any) -> bool: ...
    def _add_writer(self, fd: Any, callback: Callable[[*_Ts], Any], *args: *_Ts) -> Handle: ...
    def _remove_writer(self, fd: Any) -> bool: ...
    def _interest(self, fd: int) -> int: ...
    def _transport_of(self, fd: int) -> asyncio.BaseTransport | None: ...

    # For our own Python half.
    @property
    def _stopping(self) -> bool: ...
    @property
    def _thread_id(self) -> int | None: ...
    @property
    def _current_handle(self) -> Any: ...
    def _add_callback(self, handle: asyncio.Handle) -> None: ...
    def _check_closed(self) -> None: ...
    def _close(self) -> None: ...
    def _queued(self) -> list[tuple[str, Any]]: ...
    def _run_once(self) -> None: ...

if sys.version_info >= (3, 13):
    @final
    class _Clients:
        """A set of transports that keeps none of them alive."""

        def __new__(cls) -> Self: ...
        def add(self, transport: asyncio.BaseTransport) -> None: ...
        def discard(self, transport: asyncio.BaseTransport) -> None: ...
        def copy(self) -> list[asyncio.BaseTransport]: ...
        def __len__(self) -> int: ...
        def __contains__(self, transport: object, /) -> bool: ...
        def __iter__(self) -> Iterator[asyncio.BaseTransport]: ...

@final
class _Listener:
    """A listening socket, as the loop watches it."""

    @staticmethod
    def start(
        event_loop: EventLoop, arguments: tuple[Any, ...], fd: int, *, is_tcp: bool, path: Any
    ) -> None: ...

class _SelectorSocketTransport(asyncio.Transport):
    """The transport of a connection: a TCP or UNIX stream socket."""

    max_size: int
    def __init__(
        self,
        loop: EventLoop,
        sock: Any,
        protocol: Any,
        waiter: Any = None,
        extra: Any = None,
        server: Any = None,
        context: Context | None = None,
    ) -> None: ...
    def _make_empty_waiter(self) -> asyncio.Future[None]: ...
    def _reset_empty_waiter(self) -> None: ...
    def _set_in_use(self, in_use: bool, /) -> None: ...

def create_task(
    coro: _TaskLike[_T],
    *,
    name: object = None,
    context: Context | None = None,
    **kwargs: Any,
) -> Task[_T]: ...
def current_task(loop: asyncio.AbstractEventLoop | None = None) -> asyncio.Task[Any] | None: ...
def all_tasks(loop: asyncio.AbstractEventLoop | None = None) -> set[asyncio.Task[Any]]: ...
@overload
def sleep(delay: float) -> Coroutine[Any, Any, None]: ...
@overload
def sleep(delay: float, result: _T) -> Coroutine[Any, Any, _T]: ...
def _with_hot_methods(class_: type[_T], /) -> type[_T]: ...

if sys.version_info < (3, 14):
    def _pending_tasks() -> list[asyncio.Task[Any]]: ...
    def _forget_task(task: asyncio.Task[Any]) -> None: ...
