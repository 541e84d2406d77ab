"""Names that a module of ours has from asyncio's module of its name.

asyncio's modules hold more than we replace, and programs take public and private names from them
where they are at home. So whatever a module here does not define itself it has from there.
"""

from __future__ import annotations

import importlib
import sys
from types import FunctionType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

# asyncio's modules that there are here, too: all but those for Windows.
MODULES: tuple[str, ...] = (
    "base_events",
    "base_futures",
    "base_subprocess",
    "base_tasks",
    "constants",
    "coroutines",
    "events",
    "exceptions",
    "format_helpers",
    "futures",
    "locks",
    "log",
    "mixins",
    "protocols",
    "queues",
    "runners",
    "selector_events",
    "sslproto",
    "staggered",
    "streams",
    "subprocess",
    "taskgroups",
    "tasks",
    "threads",
    "timeouts",
    "transports",
    "trsock",
    "unix_events",
)

if sys.version_info >= (3, 14):
    MODULES += ("graph", "tools")


def complete(namespace: dict[str, Any]) -> None:
    """Let a module, whose names these are, have asyncio's for those that it lacks.

    They are looked up when they are asked for; its `__all__` grows by asyncio's at once.
    """
    own_name = namespace["__name__"]
    last_name = own_name.rpartition(".")[2]

    def __getattr__(name: str) -> Any:  # noqa: N807
        try:
            return getattr(asyncio_module(last_name), name)
        except AttributeError:
            raise AttributeError(f"module {own_name!r} has no attribute {name!r}") from None

    def __dir__() -> list[str]:  # noqa: N807
        return sorted({*namespace, *vars(asyncio_module(last_name))})

    _forget_annotations(namespace, own_name)
    theirs = getattr(asyncio_module(last_name), "__all__", None)
    if theirs is not None:
        namespace["__all__"] = tuple(dict.fromkeys((*theirs, *namespace.get("__all__", ()))))
    namespace["__getattr__"] = __getattr__
    namespace["__dir__"] = __dir__


def _forget_annotations(namespace: dict[str, Any], home: str) -> None:
    """Leave types to type checkers, as asyncio does.

    They are names that exist only there, and whoever asked for them would get a NameError.
    """
    for value in list(namespace.values()):
        if getattr(value, "__module__", None) != home:
            continue
        for function in [value, *(vars(value).values() if isinstance(value, type) else ())]:
            if isinstance(function, FunctionType):
                function.__annotations__ = {}


def asyncio_module(name: str) -> ModuleType:
    """asyncio's module of that name."""
    full_name = f"asyncio.{name}"
    return sys.modules.get(full_name) or importlib.import_module(full_name)


def home_of(name: str) -> str | None:
    """The module that has a public name of asyncio's, without the package."""
    for home in MODULES:
        if name in getattr(sys.modules.get(f"asyncio.{home}"), "__all__", ()):
            return home
    return None


def module_of(name: str) -> ModuleType:
    """Our module of that name."""
    return importlib.import_module(f"{__package__}.{name}")


def with_names(function: Any, names: dict[str, Any]) -> Any:
    """asyncio's function, which finds these names where it would find asyncio's.

    For what differs from one release of a Python to the next: the running one's is the one.
    """
    names = {"__name__": function.__module__, **names}
    made = FunctionType(function.__code__, names, function.__name__, function.__defaults__)
    made.__kwdefaults__ = function.__kwdefaults__
    made.__qualname__ = function.__qualname__
    made.__doc__ = function.__doc__
    return made
