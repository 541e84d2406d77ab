"""The event loop, complete: signals and child processes on top of the rest, and its policy."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import signal
import socket
import sys
import types
import warnings
from asyncio import unix_events as _asyncio_unix_events
from asyncio.log import logger

from . import _batonloop, base_subprocess
from .base_events import _is_coroutine_function
from .names import complete
from .selector_events import BaseSelectorEventLoop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any, Self, TypeVarTuple

    _Ts = TypeVarTuple("_Ts")


@_batonloop._with_hot_methods
class EventLoop(BaseSelectorEventLoop):
    """An event loop, usable wherever asyncio's own is, with everything that it has on Unix.

    Timers keep the clock's full resolution, where asyncio rounds up to milliseconds.
    """

    __slots__ = ("_signal_handlers", "_signal_reader", "_signal_writer")

    _signal_handlers: dict[int, _batonloop.Handle]
    # Where the interpreter writes the numbers of signals, and where we read them. Made for the
    # first handler: most loops have none.
    _signal_reader: socket.socket | None
    _signal_writer: socket.socket | None

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        self = super().__new__(cls, *args, **kwargs)
        self._signal_handlers = {}
        self._signal_reader = None
        self._signal_writer = None
        return self

    def close(self) -> None:
        """Close the loop, and give the signals it handled their default handlers back.

        Otherwise as `BaseEventLoop.close()`.
        """
        was_closed = self.is_closed()
        super().close()
        if was_closed:
            return
        try:
            self._remove_signal_handlers()
        finally:
            self._close_signal_pipe()

    def _remove_signal_handlers(self) -> None:
        if sys.is_finalizing():
            if self._signal_handlers:
                warnings.warn(
                    f"Closing the loop {self!r} on interpreter shutdown stage, "
                    "skipping signal handlers removal",
                    ResourceWarning,
                    source=self,
                    stacklevel=1,
                )
                self._signal_handlers.clear()
        else:
            for number in list(self._signal_handlers):
                self.remove_signal_handler(number)

    def add_signal_handler(self, sig: int, callback: Callable[[*_Ts], object], *args: *_Ts) -> None:
        """Let the loop call `callback(*args)` when the signal arrives.

        The callback runs as any other of the loop's, so it may touch whatever the loop's code
        may; a loop at rest wakes for it. It replaces the signal's handler, and an earlier
        callback for the same signal.

        Raises TypeError for a coroutine or coroutine function, or a signal that is no int;
        ValueError for a number that is no signal; RuntimeError for a signal that cannot be
        caught, for a closed loop, and outside the main thread.
        """
        if asyncio.iscoroutine(callback) or _is_coroutine_function(callback):
            raise TypeError("coroutines cannot be used with add_signal_handler()")
        _check_signal(sig)
        self._check_closed()
        self._open_signal_pipe()
        self._signal_handlers[sig] = _batonloop.Handle(callback, args, self, None)
        try:
            # Python's own handler is there for its side effect alone: the interpreter writes the
            # number of a signal to the pipe only if somebody in Python handles it.
            signal.signal(sig, _do_nothing)
            # System calls that a signal meets are to go on rather than to fail.
            signal.siginterrupt(sig, False)
        except OSError as error:
            del self._signal_handlers[sig]
            self._release_wakeup_fd()
            if error.errno == errno.EINVAL:
                raise RuntimeError(f"sig {sig} cannot be caught") from error
            raise

    def remove_signal_handler(self, sig: int) -> bool:
        """Give the signal its default handler back; return whether the loop had handled it.

        Raises as `add_signal_handler()` does.
        """
        _check_signal(sig)
        if self._signal_handlers.pop(sig, None) is None:
            return False
        default = signal.default_int_handler if sig == signal.SIGINT else signal.SIG_DFL
        try:
            signal.signal(sig, default)
        except OSError as error:
            if error.errno == errno.EINVAL:
                raise RuntimeError(f"sig {sig} cannot be caught") from error
            raise
        self._release_wakeup_fd()
        return True

    def _open_signal_pipe(self) -> None:
        """Let the interpreter write the numbers of signals to where the loop reads them."""
        if self._signal_writer is None:
            reader, writer = socket.socketpair()
            reader.setblocking(False)
            writer.setblocking(False)
            before = None
            try:
                # This asks for the main thread, so it comes before anything that would have to
                # be undone.
                before = _set_wakeup_fd(writer)
                self._add_reader(reader.fileno(), self._read_signals)
            except BaseException:
                if before is not None:
                    # The number will be another file's.
                    _restore_wakeup_fd(before)
                reader.close()
                writer.close()
                raise
            self._signal_reader, self._signal_writer = reader, writer
        else:
            # Another loop, or another library, may have taken it meanwhile.
            _set_wakeup_fd(self._signal_writer)

    def _close_signal_pipe(self) -> None:
        for end in (self._signal_reader, self._signal_writer):
            if end is not None:
                end.close()
        self._signal_reader = self._signal_writer = None

    def _release_wakeup_fd(self) -> None:
        """Tell the interpreter to write no more, once the last handler is gone."""
        if self._signal_handlers:
            return
        try:
            signal.set_wakeup_fd(-1)
        except (ValueError, OSError) as error:
            logger.info("set_wakeup_fd(-1) failed: %s", error)

    def _read_signals(self) -> None:
        """Queue the callbacks of all signals that have arrived."""
        if self._signal_reader is None:
            return
        while True:
            try:
                numbers = self._signal_reader.recv(4096)
            except BlockingIOError:
                return
            for number in numbers:
                self._handle_signal(number)

    def _handle_signal(self, sig: int) -> None:
        handle = self._signal_handlers.get(sig)
        if handle is None:
            # It was removed after the signal had been written.
            return
        if handle.cancelled():
            self.remove_signal_handler(sig)
        else:
            self._add_callback(handle)

    # Child processes.

    async def _make_subprocess_transport(
        self,
        protocol: asyncio.SubprocessProtocol,
        args: Any,
        shell: bool,
        stdin: Any,
        stdout: Any,
        stderr: Any,
        bufsize: int,
        extra: Any = None,
        **kwargs: Any,
    ) -> asyncio.SubprocessTransport:
        """Start a child and wait until its pipes are connected."""
        watcher = _chosen_child_watcher()
        if watcher is not None and not watcher.is_active():
            raise RuntimeError(
                "asyncio.get_child_watcher() is not activated, subprocess support is not installed."
            )
        # A watcher must not look for children while one is not yet known to it.
        with contextlib.nullcontext() if watcher is None else watcher:
            transport = base_subprocess._UnixSubprocessTransport(
                self, protocol, args, shell, stdin, stdout, stderr, bufsize, extra, **kwargs
            )
            if watcher is None:
                transport._watch()
            else:
                pid = transport.get_pid()
                watcher.add_child_handler(pid, self._report_child_from_watcher, transport)
            try:
                await transport._connect()
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException:
                transport._refuse()
                await transport._wait()
                raise
        return transport

    def _report_child_from_watcher(self, pid: int, returncode: int, transport: Any) -> None:
        # It may be called in another thread.
        self.call_soon_threadsafe(transport._process_exited, returncode)


def _chosen_child_watcher() -> Any:
    """Return the child watcher that the program chose; None if it chose none.

    Only where asyncio has child watchers, up to 3.13. What asyncio itself would choose does what
    the loop does anyway, or needs a thread for it.
    """
    watcher = None
    if sys.version_info < (3, 14):
        watcher = getattr(asyncio.get_event_loop_policy(), "_watcher", None)
        if type(watcher) in (
            _asyncio_unix_events.PidfdChildWatcher,
            _asyncio_unix_events.ThreadedChildWatcher,
        ):
            return None
    return watcher


def _do_nothing(signum: int, frame: FrameType | None) -> None:
    pass


def _check_signal(sig: Any) -> None:
    if not isinstance(sig, int):
        raise TypeError(f"sig must be an int, not {sig!r}")
    if sig not in signal.valid_signals():
        raise ValueError(f"invalid signal number {sig}")


def _set_wakeup_fd(writer: socket.socket) -> int:
    try:
        return signal.set_wakeup_fd(writer.fileno())
    except (ValueError, OSError) as error:
        # Only the main thread may do this.
        raise RuntimeError(str(error))  # noqa: B904 - asyncio names no cause either


def _restore_wakeup_fd(before: int) -> None:
    try:
        signal.set_wakeup_fd(before)
    except (ValueError, OSError):
        # It was closed meanwhile, or it waits.
        signal.set_wakeup_fd(-1)


# Python 3.14 deprecates policies: the class has a private name there, and its public one warns.
# Python 3.16 has none.
_DefaultPolicy: Any = getattr(_asyncio_unix_events, "_DefaultEventLoopPolicy", None)
if sys.version_info < (3, 14):
    _DefaultPolicy = _asyncio_unix_events.DefaultEventLoopPolicy


class _Choosing(type):
    """The class of SelectorEventLoop, which has no instances and no subclasses of its own."""

    def __new__(
        cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **keywords: Any
    ) -> Any:
        """Derive from asyncio's class whatever is to derive from the stand-in."""
        if not any(isinstance(base, _Choosing) for base in bases):
            return super().__new__(cls, name, bases, namespace, **keywords)
        theirs = _asyncio_unix_events._UnixSelectorEventLoop
        real = tuple(theirs if isinstance(base, _Choosing) else base for base in bases)
        return types.new_class(name, real, keywords, lambda body: body.update(namespace))

    def __call__(cls, selector: Any = None) -> asyncio.AbstractEventLoop:
        """Make a loop of ours, or asyncio's for a selector, which ours does not take."""
        if selector is None:
            return EventLoop()
        return _asyncio_unix_events._UnixSelectorEventLoop(selector)

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, (EventLoop, _asyncio_unix_events._UnixSelectorEventLoop))

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, (EventLoop, _asyncio_unix_events._UnixSelectorEventLoop))

    # What is put on the stand-in is meant for the loops that it makes.
    def __setattr__(cls, name: str, value: Any) -> None:
        setattr(EventLoop, name, value)

    def __delattr__(cls, name: str) -> None:
        delattr(EventLoop, name)


class SelectorEventLoop(EventLoop, metaclass=_Choosing):
    """What `asyncio.SelectorEventLoop` is while `install()` is in force.

    Programs and servers call that class for a loop without naming what they need of it: they get a
    `batonloop.EventLoop`. Who passes a selector gets asyncio's loop with it, and who derives a
    class from this one derives it from asyncio's. Both kinds of loops are its instances.
    """


if _DefaultPolicy is None:
    __all__: tuple[str, ...] = ("SelectorEventLoop", "EventLoop")
else:
    __all__ = ("SelectorEventLoop", "EventLoopPolicy", "EventLoop")

    class EventLoopPolicy(_DefaultPolicy):  # type: ignore[misc]
        """asyncio's default policy, with `batonloop.EventLoop` for the loops it makes.

        Only where the running Python has policies; 3.14 deprecates them, 3.16 has none.
        """

        _loop_factory = EventLoop


if sys.version_info < (3, 14):
    from asyncio.unix_events import (
        AbstractChildWatcher,
        FastChildWatcher,
        MultiLoopChildWatcher,
        PidfdChildWatcher,
        SafeChildWatcher,
        ThreadedChildWatcher,
    )

    DefaultEventLoopPolicy = EventLoopPolicy

    __all__ += (
        "AbstractChildWatcher",
        "SafeChildWatcher",
        "FastChildWatcher",
        "PidfdChildWatcher",
        "MultiLoopChildWatcher",
        "ThreadedChildWatcher",
        "DefaultEventLoopPolicy",
    )

complete(globals())
