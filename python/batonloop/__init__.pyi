"""The types of all that `import batonloop` gives.

What asyncio has, too, its modules included, is asyncio's to type checkers: see DESIGN.md, "What is
a Future of ours to a type checker".
"""

import sys
from asyncio import (
    ALL_COMPLETED,
    FIRST_COMPLETED,
    FIRST_EXCEPTION,
    AbstractEventLoop,
    AbstractServer,
    Barrier,
    BaseEventLoop,
    BaseProtocol,
    BaseTransport,
    BoundedSemaphore,
    BrokenBarrierError,
    BufferedProtocol,
    CancelledError,
    Condition,
    DatagramProtocol,
    DatagramTransport,
    Event,
    Future,
    Handle,
    IncompleteReadError,
    InvalidStateError,
    LifoQueue,
    LimitOverrunError,
    Lock,
    PriorityQueue,
    Protocol,
    Queue,
    QueueEmpty,
    QueueFull,
    ReadTransport,
    Runner,
    SelectorEventLoop,
    Semaphore,
    SendfileNotAvailableError,
    Server,
    StreamReader,
    StreamReaderProtocol,
    StreamWriter,
    SubprocessProtocol,
    SubprocessTransport,
    Task,
    Timeout,
    TimeoutError,
    TimerHandle,
    Transport,
    WriteTransport,
    _enter_task,
    _get_running_loop,
    _leave_task,
    _register_task,
    _set_running_loop,
    _unregister_task,
    all_tasks,
    as_completed,
    create_subprocess_exec,
    create_subprocess_shell,
    create_task,
    current_task,
    ensure_future,
    gather,
    get_event_loop,
    get_event_loop_policy,
    get_running_loop,
    iscoroutine,
    iscoroutinefunction,
    isfuture,
    new_event_loop,
    open_connection,
    open_unix_connection,
    run_coroutine_threadsafe,
    set_event_loop,
    set_event_loop_policy,
    shield,
    sleep,
    start_server,
    start_unix_server,
    timeout,
    timeout_at,
    to_thread,
    wait,
    wait_for,
    wrap_future,
)

# asyncio's 3.11 has it, too, but not in its list.
from asyncio import TaskGroup as TaskGroup
from asyncio import base_events as base_events
from asyncio import base_futures as base_futures
from asyncio import base_subprocess as base_subprocess
from asyncio import base_tasks as base_tasks
from asyncio import constants as constants
from asyncio import coroutines as coroutines
from asyncio import events as events
from asyncio import exceptions as exceptions
from asyncio import format_helpers as format_helpers
from asyncio import futures as futures
from asyncio import locks as locks
from asyncio import log as log
from asyncio import mixins as mixins
from asyncio import protocols as protocols
from asyncio import queues as queues
from asyncio import runners as runners
from asyncio import selector_events as selector_events
from asyncio import sslproto as sslproto
from asyncio import staggered as staggered
from asyncio import streams as streams
from asyncio import subprocess as subprocess
from asyncio import taskgroups as taskgroups
from asyncio import tasks as tasks
from asyncio import threads as threads
from asyncio import timeouts as timeouts
from asyncio import transports as transports
from asyncio import trsock as trsock
from asyncio import unix_events as unix_events

from .installation import install, uninstall
from .unix_events import EventLoop, EventLoopPolicy

if sys.version_info < (3, 14):
    from asyncio import (
        AbstractChildWatcher,
        FastChildWatcher,
        MultiLoopChildWatcher,
        PidfdChildWatcher,
        SafeChildWatcher,
        ThreadedChildWatcher,
        get_child_watcher,
        set_child_watcher,
    )

if sys.version_info < (3, 16):
    # Since 3.14 they are in no list of asyncio's.
    from asyncio import AbstractEventLoopPolicy as AbstractEventLoopPolicy
    from asyncio import DefaultEventLoopPolicy as DefaultEventLoopPolicy

if sys.version_info >= (3, 12):
    from asyncio import create_eager_task_factory, eager_task_factory, run
else:
    # Ours takes a loop_factory.
    from .runners import run

if sys.version_info >= (3, 13):
    from asyncio import QueueShutDown

if sys.version_info >= (3, 14):
    from asyncio import (
        FrameCallGraphEntry,
        FutureCallGraph,
        capture_call_graph,
        format_call_graph,
        future_add_to_awaited_by,
        future_discard_from_awaited_by,
        print_call_graph,
    )
    from asyncio import graph as graph
    from asyncio import tools as tools

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
