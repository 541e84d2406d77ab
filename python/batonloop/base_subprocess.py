"""The transport of a child process: it is started here, its pipes are joined, its end is heard.

`subprocess.Popen` starts it: what a child may be started with, and how that fails, is an affair of
the running Python, which forks only for a `preexec_fn` and for another user or group. Its end
arrives as any other event of the loop, through a descriptor that stands for the process: there is
no thread that waits, and nothing hangs on SIGCHLD. Only where the kernel has no such descriptors,
or a sandbox none for us, a thread waits for each child, as asyncio's does.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import os
import signal
import subprocess
import sys
import threading
import warnings
from asyncio import base_subprocess as _asyncio_base_subprocess
from asyncio.log import logger

from .names import complete

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ("ReadSubprocessPipeProto", "WriteSubprocessPipeProto")

# Whether `wait()` returns when the child has exited, or only when its pipes are closed as well.
# asyncio changed its mind within the life of some versions, so it is asked.
_EXIT_ENDS_WAIT = (
    "_exit_waiters"
    in _asyncio_base_subprocess.BaseSubprocessTransport._process_exited.__code__.co_names
)

# Until 3.13 the end of a child takes another turn to be told. What it wrote and what has arrived
# by then is told before it.
_EXIT_IS_TOLD_AT_ONCE = sys.version_info >= (3, 14)

# The threads that wait for children are numbered.
_THREAD_NUMBERS = itertools.count()


def _open_pidfd(pid: int) -> int | None:
    """Return a descriptor that stands for a child; None where there are none for us."""
    try:
        return os.pidfd_open(pid)
    except AttributeError:
        # This Python was built where there are none.
        return None
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EPERM):
            raise
        return None


class _UnixSubprocessTransport(asyncio.SubprocessTransport):
    """A child process.

    The protocol hears of everything in turns of its own, and of nothing before `connection_made()`:

    ```text
      started ──▶ watched ──▶ pipes joined ──▶ connection_made() ──▶ data, lost pipes, exit
                     │                                                      │
                     └──▶ refused: killed, waited for, never told           ▼
                                      connection_lost(), once it has exited and all pipes are lost
    ```
    """

    def __init__(
        self,
        loop: Any,
        protocol: asyncio.SubprocessProtocol,
        args: Any,
        shell: bool,
        stdin: Any,
        stdout: Any,
        stderr: Any,
        bufsize: int,
        extra: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Start the child. `_watch()` and `_connect()` are to follow."""
        extra = {} if extra is None else extra
        super().__init__(extra)
        # These three, until the connection is lost.
        self._loop: Any = loop
        self._protocol: Any = protocol
        self._proc: Any = None
        self._pid: int | None = None
        # The descriptor that stands for the child, while its end is awaited, unless a thread waits.
        self._pidfd: int | None = None
        self._returncode: int | None = None
        self._exit_waiters: set[asyncio.Future[int]] | None = set()
        # Whether nobody will get this transport: then there are no pipes to wait for.
        self._is_refused = False
        self._closed = False
        self._finished = False
        # What the protocol is still to be told; None as soon as it can be told.
        self._pending_calls: list[tuple[Callable[..., object], tuple[Any, ...]]] | None = []
        # By the child's descriptor; None until the pipe is joined.
        self._pipes: dict[int, Any] = {
            fd: None
            for fd, stream in enumerate((stdin, stdout, stderr))
            if stream == subprocess.PIPE
        }
        try:
            self._proc = subprocess.Popen(
                args,
                shell=shell,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                universal_newlines=False,
                bufsize=bufsize,
                **kwargs,
            )
        except BaseException:
            self._closed = True
            raise
        self._pid = self._proc.pid
        extra["subprocess"] = self._proc
        if loop.get_debug():
            program = args if isinstance(args, (bytes, str)) else args[0]
            logger.debug("process %r created: pid %s", program, self._pid)

    def __repr__(self) -> str:
        words = [self.__class__.__name__]
        if self._closed:
            words.append("closed")
        if self._pid is not None:
            words.append(f"pid={self._pid}")
        if self._returncode is not None:
            words.append(f"returncode={self._returncode}")
        else:
            words.append("not started" if self._pid is None else "running")
        for fd, name in enumerate(("stdin", "stdout", "stderr")):
            pipe = self._pipes.get(fd)
            if pipe is not None:
                words.append(f"{name}={pipe.pipe}")
        return f"<{' '.join(words)}>"

    def __del__(self, _warn: Any = warnings.warn) -> None:
        if not self._closed:
            _warn(f"unclosed transport {self!r}", ResourceWarning, source=self)
            self.close()
        if self._pidfd is not None and self._loop.is_closed():
            os.close(self._pidfd)
            self._pidfd = None

    # What programs call.

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Let another protocol hear of the child."""
        self._protocol = protocol

    def get_protocol(self) -> Any:
        """Return the protocol that hears of the child; None when the connection is lost."""
        return self._protocol

    def is_closing(self) -> bool:
        """Return whether `close()` was called."""
        return self._closed

    def close(self) -> None:
        """Close the pipes, and kill the child if it has not ended."""
        if self._closed:
            return
        self._closed = True
        # A closed loop can tell nobody of the pipes. They go with their own transports.
        if self._loop is not None and not self._loop.is_closed():
            for pipe in self._pipes.values():
                if pipe is not None:
                    pipe.pipe.close()
        # The child may have ended, and the loop not yet have heard of it.
        if self._proc is None or self._returncode is not None or self._proc.poll() is not None:
            return
        if self._loop.get_debug():
            logger.warning("Close running child process: kill %r", self)
        # A child with the rights of somebody else may be out of reach.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            self._proc.kill()

    def get_pid(self) -> Any:
        """Return the number of the child."""
        return self._pid

    def get_returncode(self) -> int | None:
        """Return how the child ended: its status, or minus a signal's number; None if it lives."""
        return self._returncode

    def get_pipe_transport(self, fd: int) -> Any:
        """Return the transport of the pipe to the child's descriptor; None if it is no pipe."""
        pipe = self._pipes.get(fd)
        return None if pipe is None else pipe.pipe

    def send_signal(self, signal: int) -> None:
        """Send a signal to the child; one that has ended does not get it.

        Raises ProcessLookupError if the connection is lost.
        """
        if self._proc is None:
            raise ProcessLookupError
        # The number of a child that was waited for, by us or by the Popen object, may be somebody
        # else's.
        if self._returncode is None and self._proc.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._proc.pid, signal)

    def terminate(self) -> None:
        """Send SIGTERM, as `send_signal()` does."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL, as `send_signal()` does."""
        self.send_signal(signal.SIGKILL)

    # The beginning.

    def _watch(self) -> None:
        """Hear of the child's end; one that cannot be watched is killed."""
        try:
            pidfd = _open_pidfd(self._proc.pid)
            if pidfd is None:
                threading.Thread(
                    target=self._wait_in_thread,
                    name=f"asyncio-waitpid-{next(_THREAD_NUMBERS)}",
                    args=(self._loop, self._proc.pid),
                    daemon=True,
                ).start()
                return
            try:
                self._loop._add_reader(pidfd, self._child_ended)
            except BaseException:
                os.close(pidfd)
                raise
        except BaseException:
            self._abandon()
            raise
        self._pidfd = pidfd

    def _abandon(self) -> None:
        """Kill the child and wait for it, there and then, because nobody else will."""
        self._closed = True
        for file in (self._proc.stdin, self._proc.stdout, self._proc.stderr):
            if file is not None:
                file.close()
        with contextlib.suppress(PermissionError):
            self._proc.kill()
            self._returncode = self._proc.wait()

    def _connect(self) -> asyncio.Future[None]:
        """Join the pipes; return a future that is settled when `connection_made()` is queued."""
        connected = self._loop.create_future()
        if self._pipes:
            self._loop.create_task(self._connect_pipes(connected))
        else:
            # As soon as a task would have run.
            self._loop.call_soon(self._connected, connected)
        return connected  # type: ignore[no-any-return]

    async def _connect_pipes(self, connected: asyncio.Future[None]) -> None:
        loop, proc, pipes = self._loop, self._proc, self._pipes
        try:
            if proc.stdin is not None:
                made = lambda: WriteSubprocessPipeProto(self, 0)  # noqa: E731
                _, pipes[0] = await loop.connect_write_pipe(made, proc.stdin)
            if proc.stdout is not None:
                made = lambda: ReadSubprocessPipeProto(self, 1)  # noqa: E731
                _, pipes[1] = await loop.connect_read_pipe(made, proc.stdout)
            if proc.stderr is not None:
                made = lambda: ReadSubprocessPipeProto(self, 2)  # noqa: E731
                _, pipes[2] = await loop.connect_read_pipe(made, proc.stderr)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            for pipe in pipes.values():
                if pipe is not None:
                    pipe.pipe.close()
            for file in (proc.stdin, proc.stdout, proc.stderr):
                if file is not None:
                    file.close()
            if not connected.done():
                connected.set_exception(error)
        else:
            self._connected(connected)

    def _connected(self, connected: asyncio.Future[None]) -> None:
        try:
            made = self._protocol.connection_made
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            if not connected.done():
                connected.set_exception(error)
            return
        pending, self._pending_calls = self._pending_calls, None
        self._loop.call_soon(made, self)
        for callback, args in pending or ():
            self._loop.call_soon(callback, *args)
        if not connected.done():
            connected.set_result(None)

    def _refuse(self) -> None:
        """Close a transport that nobody will get."""
        self._is_refused = True
        self.close()

    # What happens to the child.

    def _call(self, callback: Callable[..., object], *args: Any) -> None:
        """Let the protocol be told, in another turn and in order."""
        if self._pending_calls is None:
            self._loop.call_soon(callback, *args)
        else:
            self._pending_calls.append((callback, args))

    def _wait_in_thread(self, loop: Any, pid: int) -> None:
        """Wait until the child has ended, and let the loop know: a thread runs this."""
        # It stays the child's number, and the loop may send it signals, until the loop has waited.
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        try:
            loop.call_soon_threadsafe(self._child_ended)
        except RuntimeError:
            # The loop is closed: what is left of the child must not stay for ever.
            self._proc.returncode = self._reap()
            logger.warning("Loop %r that handles pid %r is closed", loop, pid)

    def _child_ended(self) -> None:
        """Wait for the child, which has ended: the loop calls it."""
        if self._pidfd is not None:
            self._loop._remove_reader(self._pidfd)
        returncode = self._reap()
        if _EXIT_IS_TOLD_AT_ONCE:
            self._process_exited(returncode)
        else:
            self._loop.call_soon(self._process_exited, returncode)

    def _reap(self) -> int:
        """Take the status of the child, which has ended."""
        pid = self._proc.pid
        pidfd, self._pidfd = self._pidfd, None
        if pidfd is not None:
            os.close(pidfd)
        try:
            _, status = os.waitpid(pid, 0)
        except ChildProcessError:
            # Somebody else has waited for it. Perhaps the Popen object did: it knows.
            if self._proc.returncode is not None:
                return self._proc.returncode  # type: ignore[no-any-return]
            if pidfd is None:
                text = "Unknown child process pid %d, will report returncode 255"
            else:
                text = "child process pid %d exit status already read:  will report returncode 255"
            logger.warning(text, pid)
            return 255
        returncode = os.waitstatus_to_exitcode(status)
        if pidfd is None and self._loop.get_debug():
            logger.debug("process %s exited with returncode %s", pid, returncode)
        return returncode

    def _process_exited(self, returncode: int) -> None:
        assert self._returncode is None, self._returncode
        if self._loop.get_debug():
            logger.info("%r exited with return code %r", self, returncode)
        self._returncode = returncode
        if self._proc.returncode is None:
            # The Popen object must not wait for what is no longer there.
            self._proc.returncode = returncode
        try:
            self._call(self._protocol.process_exited)
        finally:
            # Whoever waits is told, even if the protocol has no such method.
            if _EXIT_ENDS_WAIT or self._is_refused:
                self._end_waits()
        self._try_finish()

    def _pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        self._call(self._protocol.pipe_connection_lost, fd, exc)
        self._try_finish()

    def _try_finish(self) -> None:
        """Tell that the connection is lost, if all that belongs to it is."""
        assert not self._finished
        if self._returncode is None:
            return
        if all(pipe is not None and pipe.disconnected for pipe in self._pipes.values()):
            self._finished = True
            self._call(self._call_connection_lost, None)

    def _call_connection_lost(self, exc: Exception | None) -> None:
        try:
            self._protocol.connection_lost(exc)
        finally:
            self._end_waits()
            self._loop = self._proc = self._protocol = None

    async def _wait(self) -> int | None:
        """Wait for the child's end; return how it ended."""
        if self._returncode is not None or self._exit_waiters is None:
            return self._returncode
        waiter = self._loop.create_future()
        self._exit_waiters.add(waiter)
        try:
            await waiter
        finally:
            if self._exit_waiters is not None:
                self._exit_waiters.discard(waiter)
        return self._returncode

    def _end_waits(self) -> None:
        waiters, self._exit_waiters = self._exit_waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(self._returncode or 0)


class WriteSubprocessPipeProto(asyncio.BaseProtocol):
    """The protocol of the pipe to a child's input: it hears of it on behalf of the child's own."""

    def __init__(self, proc: _UnixSubprocessTransport, fd: int) -> None:
        """Stand for a pipe to this descriptor of the child."""
        self.proc: Any = proc
        self.fd = fd
        self.pipe: Any = None
        self.disconnected = False

    def __repr__(self) -> str:
        return f"<{self.__class__.__name__} fd={self.fd} pipe={self.pipe!r}>"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.pipe = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the child's transport, and let go of it."""
        self.disconnected = True
        proc, self.proc = self.proc, None
        proc._pipe_connection_lost(self.fd, exc)

    def pause_writing(self) -> None:
        """Tell the child's protocol, at once."""
        self.proc._protocol.pause_writing()

    def resume_writing(self) -> None:
        """Tell the child's protocol, at once."""
        self.proc._protocol.resume_writing()


class ReadSubprocessPipeProto(WriteSubprocessPipeProto, asyncio.Protocol):
    """The protocol of the pipe from a child's output."""

    def data_received(self, data: bytes) -> None:
        """Let the child's protocol be told."""
        proc = self.proc
        proc._call(proc._protocol.pipe_data_received, self.fd, data)


complete(globals())
