"""Python's asyncio, built anew in Rust.

`python -m batonloop prog.py` runs an asyncio program on it unchanged. In a program of your own:

- `import batonloop as asyncio` is all of asyncio, with our names where we have them;
- `batonloop.run(main())` runs a coroutine, as `asyncio.run()` does;
- `batonloop.install()` makes asyncio's own names stand for those of this package;
- `batonloop.new_event_loop` goes wherever a loop factory is asked for.

Every public name of the running Python's asyncio is here, and every module of it that has a
meaning on Linux. What we have not made anew (exceptions, protocols, transports' bases) is
asyncio's own.
"""

from __future__ import annotations

import asyncio
import sys

from . import _batonloop, names, unix_events
from .installation import install, uninstall  # noqa: F401 - `__all__` is not written out here
from .unix_events import EventLoop  # noqa: F401

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__version__: str = _batonloop.__version__

__all__ = tuple(dict.fromkeys((*asyncio.__all__, "EventLoop", "install", "uninstall")))

if hasattr(unix_events, "EventLoopPolicy"):
    from .unix_events import EventLoopPolicy

    __all__ += ("EventLoopPolicy",)

# asyncio gives them out, and warns, since they have left its list.
_DEPRECATED: dict[str, tuple[str, str]] = {}
if (3, 14) <= sys.version_info < (3, 16):
    _DEPRECATED = {
        "AbstractEventLoopPolicy": ("events", "_AbstractEventLoopPolicy"),
        "DefaultEventLoopPolicy": ("unix_events", "EventLoopPolicy"),
    }


def __getattr__(name: str) -> Any:
    # Names are fetched from their modules when they are first asked for, and modules imported: to
    # import this package takes no longer for what a program does not use.
    if name in names.MODULES:
        return names.module_of(name)
    if name in _DEPRECATED:
        import warnings

        # Not in the stubs. It points at the caller of its caller: at the program.
        warn: Any = vars(warnings)["_deprecated"]
        warn(f"asyncio.{name}", remove=(3, 16))
        home, private = _DEPRECATED[name]
        return getattr(names.module_of(home), private)
    home = names.home_of(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(names.module_of(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *names.MODULES})
