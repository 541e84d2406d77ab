"""TLS as a protocol on one transport and a transport for another protocol; both are native."""

from __future__ import annotations

import asyncio
import asyncio.sslproto
from asyncio import constants
from asyncio.sslproto import (
    AppProtocolState,
    SSLProtocolState,
    _create_transport_context,
    add_flowcontrol_defaults,
)

from . import _batonloop
from .names import complete

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = (
    "AppProtocolState",
    "SSLProtocol",
    "SSLProtocolState",
    "_SSLProtocolTransport",
    "_create_transport_context",
    "add_flowcontrol_defaults",
)


class _SSLProtocolTransport(_batonloop._SSLProtocolTransport):
    """The transport that the application writes to; what is written is encrypted and sent.

    An asyncio.Transport, with asyncio's methods and attributes. `writelines()` encrypts all
    pieces as one, so that small ones do not become a record each.
    """

    _start_tls_compatible = True
    _sendfile_compatible = constants._SendfileMode.FALLBACK


class SSLProtocol(_batonloop.SSLProtocol, asyncio.BufferedProtocol):
    """TLS on the user's own ssl.SSLContext, between any transport and a protocol.

    It behaves as asyncio's of the running Python. What differs: data that waits for the end of a
    handshake is copied, so that its buffer may be changed; and data that came in before an error
    is handed on before the error is reported.
    """

    max_size = 256 * 1024
    _is_overridden = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        above = cls.__mro__[: cls.__mro__.index(SSLProtocol)]
        cls._is_overridden = any(name in vars(base) for base in above for name in _METHODS)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; a method of this object's own is called in the place of ours."""
        if not self._put(name, value):
            super().__setattr__(name, value)
            if name in _METHODS:
                self._mark_patched()


_METHODS = frozenset(
    name
    for name in vars(asyncio.sslproto.SSLProtocol)
    if not name.startswith("__") and hasattr(_batonloop.SSLProtocol, name)
)

complete(globals())
