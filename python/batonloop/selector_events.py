"""The part of the event loop that moves bytes: sockets, transports, servers, pipes.

What decides and waits but moves no bytes itself (which address to connect to, who may listen,
which arguments go together) are asyncio's own functions, taken over as they are in the running
Python: there is one right answer in each version, and it is theirs. They reach our loop through
the methods that asyncio's loops have for it, and those are here.
"""

from __future__ import annotations

import asyncio
import errno
import os
import selectors
import socket
import sys
from asyncio import base_events as _asyncio_base_events
from asyncio import constants, streams, trsock
from asyncio import selector_events as _asyncio_selector_events
from asyncio import unix_events as _asyncio_unix_events
from asyncio.log import logger

from . import _batonloop, sslproto
from .base_events import BaseEventLoop
from .names import complete

try:
    import ssl
except ImportError:  # pragma: no cover - a Python without OpenSSL
    ssl = None  # type: ignore[assignment]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self

__all__ = ("BaseSelectorEventLoop",)

# What is taken over, by the class of asyncio that defines it; no version has all of it.
_BORROWED: dict[type, tuple[str, ...]] = {
    _asyncio_base_events.BaseEventLoop: (
        "_check_sendfile_params",
        "_connect_sock",
        "_create_connection_transport",
        "_create_server_getaddrinfo",
        "_ensure_resolved",
        "_getaddrinfo_debug",
        "_log_subprocess",
        "_sendfile_fallback",
        "_sock_sendfile_fallback",
        "connect_accepted_socket",
        "connect_read_pipe",
        "connect_write_pipe",
        "create_connection",
        "create_datagram_endpoint",
        "create_server",
        "sendfile",
        "sock_sendfile",
        "subprocess_exec",
        "subprocess_shell",
    ),
    _asyncio_selector_events.BaseSelectorEventLoop: (
        "_accept_connection",
        "_accept_connection2",
        "_sock_accept",
        "_sock_connect",
        "_sock_connect_cb",
        "_sock_read_done",
        "_sock_recv",
        "_sock_recv_into",
        "_sock_recvfrom",
        "_sock_recvfrom_into",
        "_sock_sendall",
        "_sock_sendto",
        "_sock_write_done",
        "add_reader",
        "add_writer",
        "remove_reader",
        "remove_writer",
    ),
    _asyncio_unix_events._UnixSelectorEventLoop: (
        "_sock_add_cancellation_callback",
        "_sock_sendfile_native",
        "_sock_sendfile_native_impl",
        "_sock_sendfile_update_filepos",
        "create_unix_connection",
        "create_unix_server",
    ),
}


def _with_borrowed(cls: type) -> type:
    """Give a class the borrowed functions that it does not define itself."""
    for source, names in _BORROWED.items():
        for name in names:
            function = vars(source).get(name)
            if function is not None and name not in vars(cls):
                setattr(cls, name, function)
    return cls


# Whether a connection may have one context for all.
_CONNECTIONS_HAVE_CONTEXTS = sys.version_info >= (3, 15)

# How many arguments asyncio's `_accept_connection()` takes.
_ACCEPT_ARGUMENTS = 8 if _CONNECTIONS_HAVE_CONTEXTS else 7


class _SelectorView:
    """What the loop watches, for those who look into a selector for it; it cannot be changed."""

    __slots__ = ("_loop",)

    def __init__(self, loop: BaseSelectorEventLoop) -> None:
        self._loop = loop

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        """Return what is watched of a file; raise KeyError if nothing is."""
        fd = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        events = self._loop._interest(fd) if fd >= 0 else 0
        if events == 0:
            raise KeyError(f"{fileobj!r} is not registered")
        return selectors.SelectorKey(fileobj, fd, events, None)


class BaseSelectorEventLoop(BaseEventLoop):
    """An event loop with sockets, transports, servers and pipes."""

    __slots__ = ("_unix_server_sockets",)

    # The inode of each listening UNIX socket of ours: the file is removed only if it is still it.
    _unix_server_sockets: dict[Any, int]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        self = super().__new__(cls, *args, **kwargs)
        self._unix_server_sockets = {}
        return self

    @property
    def _debug(self) -> bool:
        return self.get_debug()

    @property
    def _closed(self) -> bool:
        return self.is_closed()

    @property
    def _selector(self) -> _SelectorView:
        return _SelectorView(self)

    def _ensure_fd_no_transport(self, fd: Any) -> None:
        """Raise RuntimeError if a transport uses the descriptor; ValueError if it is none."""
        number = fd
        if not isinstance(number, int):
            try:
                number = int(number.fileno())
            except (AttributeError, TypeError, ValueError):
                raise ValueError(f"Invalid file object: {fd!r}") from None
        try:
            transport = self._transport_of(number)
        except OverflowError:
            return
        if transport is not None and not transport.is_closing():
            raise RuntimeError(f"File descriptor {fd!r} is used by transport {transport!r}")

    def _make_socket_transport(
        self,
        sock: socket.socket,
        protocol: asyncio.BaseProtocol,
        waiter: asyncio.Future[None] | None = None,
        *,
        extra: dict[str, Any] | None = None,
        server: Any = None,
        context: Any = None,
    ) -> asyncio.Transport:
        self._ensure_fd_no_transport(sock)
        more = (context,) if _CONNECTIONS_HAVE_CONTEXTS else ()
        return _batonloop._SelectorSocketTransport(
            self, sock, protocol, waiter, extra, server, *more
        )

    def _make_ssl_transport(
        self,
        rawsock: socket.socket,
        protocol: asyncio.BaseProtocol,
        sslcontext: Any,
        waiter: Any = None,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        extra: dict[str, Any] | None = None,
        server: Any = None,
        ssl_handshake_timeout: Any = None,
        ssl_shutdown_timeout: Any = None,
        context: Any = None,
    ) -> asyncio.Transport:
        self._ensure_fd_no_transport(rawsock)
        ssl_protocol = sslproto.SSLProtocol(
            self,
            protocol,
            sslcontext,
            waiter,
            server_side,
            server_hostname,
            ssl_handshake_timeout=ssl_handshake_timeout,
            ssl_shutdown_timeout=ssl_shutdown_timeout,
        )
        more = (context,) if _CONNECTIONS_HAVE_CONTEXTS else ()
        _batonloop._SelectorSocketTransport(self, rawsock, ssl_protocol, None, extra, server, *more)
        return ssl_protocol._app_transport  # type: ignore[no-any-return]

    async def start_tls(
        self,
        transport: Any,
        protocol: asyncio.BaseProtocol,
        sslcontext: ssl.SSLContext,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> asyncio.Transport:
        """Put TLS on a connection; return the transport that `protocol` is to use from now on.

        Raises TypeError for what is no context, and for a transport that cannot carry TLS, and
        whatever becomes of the handshake.
        """
        if ssl is None:
            raise RuntimeError("Python ssl module is not available")
        if not isinstance(sslcontext, ssl.SSLContext):
            raise TypeError(
                f"sslcontext is expected to be an instance of ssl.SSLContext, got {sslcontext!r}"
            )
        if not getattr(transport, "_start_tls_compatible", False):
            raise TypeError(f"transport {transport!r} is not supported by start_tls()")
        shaken: Any = self.create_future()
        tls = sslproto.SSLProtocol(
            self,
            protocol,
            sslcontext,
            shaken,
            server_side,
            server_hostname,
            ssl_handshake_timeout=ssl_handshake_timeout,
            ssl_shutdown_timeout=ssl_shutdown_timeout,
            call_connection_made=False,
        )
        # Nothing must reach the new protocol before it knows its transport.
        transport.pause_reading()
        if server_side and isinstance(protocol, streams.StreamReaderProtocol):
            # The client may have begun at once, and the reader may have it already.
            reader = getattr(protocol, "_stream_reader", None)
            if reader is not None and reader._buffer:
                tls._incoming.write(reader._buffer)
                reader._buffer.clear()
        transport.set_protocol(tls)
        made = self.call_soon(tls.connection_made, transport)
        resumed = self.call_soon(transport.resume_reading)
        try:
            await shaken
        except BaseException:
            transport.close()
            made.cancel()
            resumed.cancel()
            raise
        return tls._app_transport  # type: ignore[no-any-return]

    def _make_datagram_transport(
        self,
        sock: socket.socket,
        protocol: asyncio.DatagramProtocol,
        address: Any = None,
        waiter: asyncio.Future[None] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> asyncio.DatagramTransport:
        self._ensure_fd_no_transport(sock)
        return _batonloop._SelectorDatagramTransport(self, sock, protocol, address, waiter, extra)

    def _make_read_pipe_transport(
        self,
        pipe: Any,
        protocol: asyncio.BaseProtocol,
        waiter: asyncio.Future[None] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> asyncio.ReadTransport:
        return _batonloop._UnixReadPipeTransport(self, pipe, protocol, waiter, extra)

    def _make_write_pipe_transport(
        self,
        pipe: Any,
        protocol: asyncio.BaseProtocol,
        waiter: asyncio.Future[None] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> asyncio.WriteTransport:
        return _batonloop._UnixWritePipeTransport(self, pipe, protocol, waiter, extra)

    def _start_serving(
        self,
        protocol_factory: Any,
        sock: socket.socket,
        sslcontext: Any = None,
        server: Any = None,
        backlog: int = 100,
        ssl_handshake_timeout: float | None = constants.SSL_HANDSHAKE_TIMEOUT,
        ssl_shutdown_timeout: float | None = constants.SSL_SHUTDOWN_TIMEOUT,
        context: Any = None,
    ) -> None:
        """Accept the connections of a listening socket from now on."""
        arguments = (
            protocol_factory,
            sock,
            sslcontext,
            server,
            backlog,
            ssl_handshake_timeout,
            ssl_shutdown_timeout,
            context,
        )
        its: Any = server
        if sys.version_info >= (3, 13) and type(server) is _asyncio_base_events.Server:
            # Nobody is connected yet, or the set is ours already.
            if not its._clients:
                its._clients = _batonloop._Clients()
        is_tcp = sock.proto == socket.IPPROTO_TCP
        is_usual = (
            sock.family in (socket.AF_INET, socket.AF_INET6) and (is_tcp or sock.proto == 0)
        ) or (sock.family == socket.AF_UNIX and sock.proto == 0)
        if is_usual and sock.type == socket.SOCK_STREAM and not sslcontext:
            self._check_closed()
            path = sock.getsockname() if sock.family == socket.AF_UNIX else None
            _batonloop._Listener.start(self, arguments, sock.fileno(), is_tcp=is_tcp, path=path)
        else:
            accept: Any = self._accept_connection  # type: ignore[attr-defined]
            self._add_reader(sock.fileno(), accept, *arguments[:_ACCEPT_ARGUMENTS])

    def _accept_as_asyncio(self, arguments: tuple[Any, ...]) -> None:
        """Accept connections as asyncio does, because this loop wants to see every step."""
        self._accept_connection(*arguments[:_ACCEPT_ARGUMENTS])  # type: ignore[attr-defined]

    def _accept_failed(self, error: OSError, arguments: tuple[Any, ...]) -> None:
        """Pause for a second if there is no room for connections; raise any other error."""
        if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
            raise error
        sock = arguments[1]
        self.call_exception_handler(
            {
                "message": "socket.accept() out of system resource",
                "exception": error,
                "socket": trsock.TransportSocket(sock),
            }
        )
        # The kernel would go on telling of connections that nobody can take.
        self._remove_reader(sock.fileno())
        self.call_later(constants.ACCEPT_RETRY_DELAY, self._start_serving, *arguments)

    async def _sendfile_native(self, transp: Any, file: Any, offset: int, count: int | None) -> int:
        """Send a file over a transport that has nothing else to write."""
        was_reading = transp.is_reading()
        transp.pause_reading()
        await transp._make_empty_waiter()
        transp._set_in_use(False)
        try:
            return await self.sock_sendfile(transp._sock, file, offset, count, fallback=False)
        finally:
            transp._reset_empty_waiter()
            if was_reading:
                transp.resume_reading()
            transp._set_in_use(True)

    def _stop_serving(self, sock: socket.socket) -> None:
        """Stop accepting on a socket and close it; remove the file of a UNIX socket of ours."""
        inode = self._unix_server_sockets.pop(sock, None)
        path = None if inode is None else sock.getsockname()
        self._remove_reader(sock.fileno())
        sock.close()
        if path is None:
            return
        try:
            if os.stat(path).st_ino == inode:
                os.unlink(path)
        except FileNotFoundError:
            pass
        except OSError as error:
            logger.error("Unable to clean up listening UNIX socket %r: %r", path, error)


_with_borrowed(BaseSelectorEventLoop)

complete(globals())
