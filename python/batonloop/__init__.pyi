"""The types of all that `import batonloop` gives; the names stand in asyncio's modules."""

import sys

from . import base_events as base_events
from . import base_futures as base_futures
from . import base_subprocess as base_subprocess
from . import base_tasks as base_tasks
from . import constants as constants
from . import coroutines as coroutines
from . import events as events
from . import exceptions as exceptions
from . import format_helpers as format_helpers
from . import futures as futures
from . import locks as locks
from . import log as log
from . import mixins as mixins
from . import protocols as protocols
from . import queues as queues
from . import runners as runners
from . import selector_events as selector_events
from . import sslproto as sslproto
from . import staggered as staggered
from . import streams as streams
from . import subprocess as subprocess
from . import taskgroups as taskgroups
from . import tasks as tasks
from . import threads as threads
from . import timeouts as timeouts
from . import transports as transports
from . import trsock as trsock
from . import unix_events as unix_events
from .base_events import (
    BaseEventLoop,
    Server,
)
from .coroutines import (
    iscoroutine,
    iscoroutinefunction,
)
from .events import (
    AbstractEventLoop,
    AbstractServer,
    Handle,
    TimerHandle,
    _get_running_loop,
    _set_running_loop,
    get_event_loop,
    get_event_loop_policy,
    get_running_loop,
    new_event_loop,
    set_event_loop,
    set_event_loop_policy,
)
from .exceptions import (
    BrokenBarrierError,
    CancelledError,
    IncompleteReadError,
    InvalidStateError,
    LimitOverrunError,
    SendfileNotAvailableError,
    TimeoutError,
)
from .futures import (
    Future,
    isfuture,
    wrap_future,
)
from .installation import (
    install,
    uninstall,
)
from .locks import (
    Barrier,
    BoundedSemaphore,
    Condition,
    Event,
    Lock,
    Semaphore,
)
from .protocols import (
    BaseProtocol,
    BufferedProtocol,
    DatagramProtocol,
    Protocol,
    SubprocessProtocol,
)
from .queues import (
    LifoQueue,
    PriorityQueue,
    Queue,
    QueueEmpty,
    QueueFull,
)
from .runners import (
    Runner,
    run,
)
from .streams import (
    StreamReader,
    StreamReaderProtocol,
    StreamWriter,
    open_connection,
    open_unix_connection,
    start_server,
    start_unix_server,
)
from .subprocess import (
    create_subprocess_exec,
    create_subprocess_shell,
)
from .tasks import (
    ALL_COMPLETED,
    FIRST_COMPLETED,
    FIRST_EXCEPTION,
    Task,
    _enter_task,
    _leave_task,
    _register_task,
    _unregister_task,
    all_tasks,
    as_completed,
    create_task,
    current_task,
    ensure_future,
    gather,
    run_coroutine_threadsafe,
    shield,
    sleep,
    wait,
    wait_for,
)
from .threads import (
    to_thread,
)
from .timeouts import (
    Timeout,
    timeout,
    timeout_at,
)
from .transports import (
    BaseTransport,
    DatagramTransport,
    ReadTransport,
    SubprocessTransport,
    Transport,
    WriteTransport,
)
from .unix_events import (
    EventLoop,
    EventLoopPolicy,
    SelectorEventLoop,
)

if sys.version_info < (3, 14):
    from asyncio.unix_events import (
        AbstractChildWatcher,
        FastChildWatcher,
        MultiLoopChildWatcher,
        PidfdChildWatcher,
        SafeChildWatcher,
        ThreadedChildWatcher,
    )

    from .events import (
        AbstractEventLoopPolicy,
        get_child_watcher,
        set_child_watcher,
    )
    from .unix_events import (
        DefaultEventLoopPolicy,
    )

if sys.version_info >= (3, 12):
    from .tasks import (
        create_eager_task_factory,
        eager_task_factory,
    )

if sys.version_info >= (3, 13):
    from .queues import (
        QueueShutDown,
    )

if sys.version_info >= (3, 14):
    from . import graph as graph
    from . import tools as tools
    from .futures import (
        future_add_to_awaited_by,
        future_discard_from_awaited_by,
    )
    from .graph import (
        FrameCallGraphEntry,
        FutureCallGraph,
        capture_call_graph,
        format_call_graph,
        print_call_graph,
    )

# asyncio's 3.11 has it, too, but not in its list.
from .taskgroups import TaskGroup as TaskGroup

__version__: str

__all__: tuple[str, ...] = (
    "ALL_COMPLETED",
    "AbstractEventLoop",
    "AbstractServer",
    "Barrier",
    "BaseEventLoop",
    "BaseProtocol",
    "BaseTransport",
    "BoundedSemaphore",
    "BrokenBarrierError",
    "BufferedProtocol",
    "CancelledError",
    "Condition",
    "DatagramProtocol",
    "DatagramTransport",
    "Event",
    "EventLoop",
    "EventLoopPolicy",
    "FIRST_COMPLETED",
    "FIRST_EXCEPTION",
    "Future",
    "Handle",
    "IncompleteReadError",
    "InvalidStateError",
    "LifoQueue",
    "LimitOverrunError",
    "Lock",
    "PriorityQueue",
    "Protocol",
    "Queue",
    "QueueEmpty",
    "QueueFull",
    "ReadTransport",
    "Runner",
    "SelectorEventLoop",
    "Semaphore",
    "SendfileNotAvailableError",
    "Server",
    "StreamReader",
    "StreamReaderProtocol",
    "StreamWriter",
    "SubprocessProtocol",
    "SubprocessTransport",
    "Task",
    "Timeout",
    "TimeoutError",
    "TimerHandle",
    "Transport",
    "WriteTransport",
    "_enter_task",
    "_get_running_loop",
    "_leave_task",
    "_register_task",
    "_set_running_loop",
    "_unregister_task",
    "all_tasks",
    "as_completed",
    "create_subprocess_exec",
    "create_subprocess_shell",
    "create_task",
    "current_task",
    "ensure_future",
    "gather",
    "get_event_loop",
    "get_event_loop_policy",
    "get_running_loop",
    "install",
    "iscoroutine",
    "iscoroutinefunction",
    "isfuture",
    "new_event_loop",
    "open_connection",
    "open_unix_connection",
    "run",
    "run_coroutine_threadsafe",
    "set_event_loop",
    "set_event_loop_policy",
    "shield",
    "sleep",
    "start_server",
    "start_unix_server",
    "timeout",
    "timeout_at",
    "to_thread",
    "uninstall",
    "wait",
    "wait_for",
    "wrap_future",
)

if sys.version_info < (3, 14):
    __all__ += (
        "AbstractChildWatcher",
        "AbstractEventLoopPolicy",
        "DefaultEventLoopPolicy",
        "FastChildWatcher",
        "MultiLoopChildWatcher",
        "PidfdChildWatcher",
        "SafeChildWatcher",
        "ThreadedChildWatcher",
        "get_child_watcher",
        "set_child_watcher",
    )

if sys.version_info >= (3, 12):
    __all__ += (
        "TaskGroup",
        "create_eager_task_factory",
        "eager_task_factory",
    )

if sys.version_info >= (3, 13):
    __all__ += ("QueueShutDown",)

if sys.version_info >= (3, 14):
    __all__ += (
        "FrameCallGraphEntry",
        "FutureCallGraph",
        "capture_call_graph",
        "format_call_graph",
        "future_add_to_awaited_by",
        "future_discard_from_awaited_by",
        "print_call_graph",
    )
