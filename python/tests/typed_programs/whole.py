"""An annotated program that says every public name of asyncio's. It is checked, never run."""

import asyncio
import concurrent.futures
import contextvars
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterable
from typing import Any, ClassVar, Generic, Protocol, TypeVar

T = TypeVar("T")
FutureT = TypeVar("FutureT", bound="asyncio.Future[Any]")


async def word(number: int) -> str:
    await asyncio.sleep(0)
    return await asyncio.sleep(0.1, str(number))


async def number(text: str) -> int:
    return len(text)


# --- Futures and tasks ---------------------------------------------------------------------------


async def futures(loop: asyncio.AbstractEventLoop) -> int:
    made: asyncio.Future[int] = loop.create_future()
    own: asyncio.Future[int] = asyncio.Future(loop=loop)
    made.set_result(1)
    own.set_exception(asyncio.InvalidStateError("no"))

    def done(future: asyncio.Future[int]) -> None:
        assert future.done() and not future.cancelled()
        reason: BaseException | None = future.exception()
        result: int = future.result()
        print(reason, result, future.get_loop().time())

    made.add_done_callback(done)
    made.add_done_callback(done, context=contextvars.copy_context())
    removed: int = made.remove_done_callback(done)
    threaded: concurrent.futures.Future[int] = concurrent.futures.Future()
    wrapped: asyncio.Future[int] = asyncio.wrap_future(threaded)
    again: asyncio.Future[int] = asyncio.wrap_future(made, loop=loop)
    thing: object = made
    if asyncio.isfuture(thing):
        thing.cancel("enough")
    if isinstance(thing, asyncio.Future):
        thing.cancel()
    return removed + await made + await wrapped + await again


async def tasks(loop: asyncio.AbstractEventLoop) -> list[str]:
    made: asyncio.Task[str] = asyncio.create_task(word(1), name="one")
    by_loop: asyncio.Task[str] = loop.create_task(word(2))
    in_context = asyncio.create_task(word(3), context=contextvars.copy_context())
    ensured: asyncio.Task[str] = asyncio.ensure_future(word(4))
    same: asyncio.Task[str] = asyncio.ensure_future(made)
    direct: asyncio.Task[str] = asyncio.Task(word(5), loop=loop, name="five")
    if sys.version_info >= (3, 12):
        early: asyncio.Task[str] = asyncio.Task(word(6), eager_start=True)
        early.get_context().run(print)
    current: asyncio.Task[Any] | None = asyncio.current_task()
    every: set[asyncio.Task[Any]] = asyncio.all_tasks(loop)
    for task in every - {current}:
        task.set_name(task.get_name().upper())
        task.print_stack()
        task.cancel("end")
        task.uncancel()
        print(task.cancelling(), task.get_coro(), task.get_stack(limit=1))
    as_future: asyncio.Future[str] = made
    results: list[str] = [await made, await by_loop, await in_context, await ensured, await same]
    results += [await direct, await as_future]
    if asyncio.iscoroutinefunction(word) and asyncio.iscoroutine(word(1)):
        results.append("coroutine")
    return results


async def several(tasks: Iterable[asyncio.Task[str]], futures: set[asyncio.Future[int]]) -> None:
    done, waiting = await asyncio.wait(tasks, timeout=1)
    for task in waiting:
        task.get_name()
    names: list[str] = [task.get_name() + task.result() for task in done]
    pending: set[asyncio.Task[str]] = set(waiting)
    while pending:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
    finished, futures = await asyncio.wait(futures, return_when=asyncio.FIRST_EXCEPTION)
    numbers: list[int] = [future.result() for future in finished]
    await asyncio.wait([asyncio.create_task(word(1))], return_when=asyncio.ALL_COMPLETED)

    text, length = await asyncio.gather(word(1), number("x"))
    text.upper(), length.bit_length()
    pair: asyncio.Future[tuple[str, int]] = asyncio.gather(word(1), number("x"))
    many: list[str] = await asyncio.gather(*(word(each) for each in range(9)))
    safe: list[str | BaseException] = await asyncio.gather(
        *[word(each) for each in range(9)], return_exceptions=True
    )
    first, second = await asyncio.gather(word(1), number("x"), return_exceptions=True)
    if not isinstance(second, BaseException):
        second.bit_length()

    shielded: asyncio.Future[str] = asyncio.shield(word(1))
    outer: asyncio.Future[str] = asyncio.shield(asyncio.create_task(word(2)))
    limited: str = await asyncio.wait_for(outer, timeout=None)
    limited += await asyncio.wait_for(word(1), 0.5)
    for each in asyncio.as_completed([word(1), word(2)], timeout=3):
        limited += await each
    if sys.version_info >= (3, 13):
        async for one in asyncio.as_completed([asyncio.create_task(word(1))]):
            limited += await one
    print(names, numbers, many, safe, first, await pair, await shielded, limited)


async def groups() -> str:
    async with asyncio.TaskGroup() as group:
        one: asyncio.Task[str] = group.create_task(word(1), name="one")
        two = group.create_task(number("x"), context=contextvars.copy_context())
        children: list[asyncio.Task[str]] = [group.create_task(word(each)) for each in range(9)]
    return one.result() * two.result() + "".join(child.result() for child in children)


async def limits(loop: asyncio.AbstractEventLoop) -> float | None:
    async with asyncio.timeout(1) as limit:
        limit.reschedule(loop.time() + 3)
    kept: asyncio.Timeout = asyncio.timeout_at(None)
    async with kept as entered:
        entered.expired()
    try:
        async with asyncio.timeout(None):
            await word(1)
    except asyncio.TimeoutError:  # noqa: UP041 - it is the name that is checked
        return None
    except asyncio.CancelledError:
        raise
    return kept.when()


class Cache(Generic[T]):
    """What frameworks do: futures among their attributes and in their signatures."""

    everyone: ClassVar[list[asyncio.Task[None]]] = []

    def __init__(self, fetch: Callable[[str], Coroutine[Any, Any, T]]) -> None:
        self._fetch = fetch
        self._values: dict[str, asyncio.Future[T]] = {}
        self._lock = asyncio.Lock()

    def future(self, key: str) -> asyncio.Future[T]:
        future = self._values.get(key)
        if future is None:
            future = self._values[key] = asyncio.get_running_loop().create_future()
            task = asyncio.create_task(self._fill(key, future))
            self.everyone.append(task)
            task.add_done_callback(self.everyone.remove)
        return future

    async def _fill(self, key: str, future: asyncio.Future[T]) -> None:
        async with self._lock:
            future.set_result(await self._fetch(key))


class CountedTask(asyncio.Task[T]):
    count: ClassVar[int] = 0

    def cancel(self, msg: Any | None = None) -> bool:
        type(self).count += 1
        return super().cancel(msg)


class NamedFuture(asyncio.Future[T]):
    def __init__(self, name: str, *, loop: asyncio.AbstractEventLoop | None = None) -> None:
        super().__init__(loop=loop)
        self.name = name


class Later:
    def __await__(self) -> Generator[Any, None, int]:
        return asyncio.get_running_loop().run_in_executor(None, len, "x").__await__()


def newest(futures: list[FutureT]) -> FutureT:
    return futures[-1]


def factory(loop: asyncio.AbstractEventLoop, coro: Any) -> asyncio.Task[Any]:
    return asyncio.Task(coro, loop=loop)


# --- The loop ------------------------------------------------------------------------------------


async def calls(loop: asyncio.AbstractEventLoop) -> None:
    soon: asyncio.Handle = loop.call_soon(print, 1, 2)
    safe: asyncio.Handle = loop.call_soon_threadsafe(print)
    later: asyncio.TimerHandle = loop.call_later(1, print, context=contextvars.copy_context())
    at: asyncio.TimerHandle = loop.call_at(loop.time() + later.when(), print)
    handles: list[asyncio.Handle] = [soon, safe, later, at]
    for handle in handles:
        handle.cancel()
        handle.cancelled()
    loop.add_signal_handler(signal.SIGTERM, print, "term")
    loop.remove_signal_handler(signal.SIGTERM)
    loop.add_reader(0, print, "ready")
    loop.remove_writer(1)
    length: asyncio.Future[int] = loop.run_in_executor(None, len, "x")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        await loop.run_in_executor(pool, lambda: None)
        loop.set_default_executor(pool)
    doubled: int = await asyncio.to_thread(lambda x: x * 2, 21)
    away: concurrent.futures.Future[str] = asyncio.run_coroutine_threadsafe(word(1), loop)
    print(await length + doubled, away.result(timeout=1))
    loop.set_task_factory(factory)
    if sys.version_info >= (3, 12):
        loop.set_task_factory(asyncio.eager_task_factory)
        loop.set_task_factory(asyncio.create_eager_task_factory(asyncio.Task))

    def on_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        loop.default_exception_handler(context)

    loop.set_exception_handler(on_error)
    loop.call_exception_handler({"message": "none"})
    left, right = socket.socketpair()
    await loop.sock_sendall(left, b"x")
    data: bytes = await loop.sock_recv(right, 9)
    count: int = await loop.sock_recv_into(right, bytearray(data))
    if count:
        connection, address = await loop.sock_accept(left)
        await loop.sock_connect(connection, address)
    await loop.getaddrinfo("localhost", 80, family=socket.AF_INET)


def ways_in() -> None:
    code: str = asyncio.run(word(1), debug=True)
    with asyncio.Runner(debug=False, loop_factory=asyncio.new_event_loop) as runner:
        code = runner.run(word(1), context=contextvars.copy_context())
        loop: asyncio.AbstractEventLoop = runner.get_loop()
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    code = asyncio.get_event_loop().run_until_complete(word(len(code)))
    asyncio.set_event_loop(None)
    kept: asyncio.BaseEventLoop = asyncio.SelectorEventLoop()
    selecting: asyncio.SelectorEventLoop = asyncio.SelectorEventLoop(None)
    try:
        kept.run_forever()
    finally:
        kept.run_until_complete(kept.shutdown_asyncgens())
        kept.run_until_complete(kept.shutdown_default_executor())
        kept.close()
        selecting.close()
    running: asyncio.AbstractEventLoop | None = asyncio._get_running_loop()
    asyncio._set_running_loop(running)
    if sys.version_info >= (3, 12):
        asyncio.run(word(1), loop_factory=asyncio.SelectorEventLoop)
    if sys.version_info >= (3, 13):
        asyncio.run(word(1), loop_factory=asyncio.EventLoop)
        base: asyncio.BaseEventLoop = asyncio.EventLoop()
        made: asyncio.SelectorEventLoop = asyncio.EventLoop()
        factory: Callable[..., asyncio.AbstractEventLoop] = asyncio.EventLoop
        print(base, made, factory)


def registers(loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any]) -> None:
    asyncio._register_task(task)
    asyncio._enter_task(loop, task)
    asyncio._leave_task(loop, task)
    asyncio._unregister_task(task)


def policies() -> None:
    asyncio.set_event_loop_policy(None)
    policy: asyncio.AbstractEventLoopPolicy = asyncio.get_event_loop_policy()
    default: asyncio.AbstractEventLoopPolicy = asyncio.DefaultEventLoopPolicy()
    loop: asyncio.AbstractEventLoop = policy.get_event_loop()
    default.set_event_loop(loop)
    asyncio.set_event_loop_policy(default)
    if sys.version_info < (3, 14):
        watcher: asyncio.AbstractChildWatcher = asyncio.get_child_watcher()
        asyncio.set_child_watcher(watcher)
        kinds: list[asyncio.AbstractChildWatcher] = [
            asyncio.ThreadedChildWatcher(),
            asyncio.PidfdChildWatcher(),
            asyncio.MultiLoopChildWatcher(),
            asyncio.SafeChildWatcher(),
            asyncio.FastChildWatcher(),
        ]
        kinds[0].close()

        class Policy(asyncio.DefaultEventLoopPolicy):
            def new_event_loop(self) -> asyncio.AbstractEventLoop:
                return asyncio.SelectorEventLoop()

        asyncio.set_event_loop_policy(Policy())


if sys.version_info >= (3, 14):

    def graphs(future: asyncio.Future[Any]) -> str:
        asyncio.future_add_to_awaited_by(future, future)
        asyncio.future_discard_from_awaited_by(future, future)
        graph: asyncio.FutureCallGraph | None = asyncio.capture_call_graph(future, depth=2)
        if graph is not None:
            entries: tuple[asyncio.FrameCallGraphEntry, ...] = graph.call_stack
            print(entries[0].frame, graph.awaited_by)
        asyncio.print_call_graph(future, file=sys.stderr)
        return asyncio.format_call_graph()


# --- Locks and queues ----------------------------------------------------------------------------


class HasLock(Protocol):
    async def acquire(self) -> Any: ...
    def release(self) -> None: ...


async def locks(holder: HasLock) -> None:
    lock: asyncio.Lock = asyncio.Lock()
    async with lock:
        assert lock.locked()
    taken: bool = await lock.acquire()
    event = asyncio.Event()
    event.set()
    seen: bool = await event.wait() and event.is_set()
    condition = asyncio.Condition(lock)
    async with condition:
        ready: bool = await condition.wait_for(lambda: seen)
        condition.notify(2)
        condition.notify_all()
        await condition.wait()
    semaphores: list[asyncio.Semaphore] = [asyncio.Semaphore(3), asyncio.BoundedSemaphore()]
    bounded: asyncio.BoundedSemaphore = asyncio.BoundedSemaphore(value=2)
    async with bounded, semaphores[0]:
        bounded.locked()
    barrier: asyncio.Barrier = asyncio.Barrier(2)
    try:
        async with barrier:
            print(barrier.parties)
        place: int = await barrier.wait()
        await barrier.reset()
        print(barrier.parties - barrier.n_waiting, barrier.broken, place)
    except asyncio.BrokenBarrierError:
        await barrier.abort()
    both: list[HasLock] = [lock, condition, bounded, holder]
    await asyncio.gather(*(each.acquire() for each in both))
    print(taken, ready)


class NewestFirst(asyncio.LifoQueue[T]):
    def _put(self, item: T) -> None:
        super()._put(item)


async def queues() -> None:
    queue: asyncio.Queue[str] = asyncio.Queue(maxsize=3)
    least: asyncio.PriorityQueue[tuple[int, str]] = asyncio.PriorityQueue()
    newest: asyncio.LifoQueue[int] = NewestFirst()
    any_queue: asyncio.Queue[tuple[int, str]] = least
    await queue.put("x")
    least.put_nowait((1, "x"))
    text: str = await queue.get() + queue.get_nowait() + (await any_queue.get())[1]
    length: int = newest.get_nowait() + queue.qsize() + queue.maxsize
    try:
        while not queue.full() or queue.empty():
            queue.put_nowait(text)
    except (asyncio.QueueFull, asyncio.QueueEmpty):
        queue.task_done()
    await queue.join()
    if sys.version_info >= (3, 13):
        queue.shutdown(immediate=True)
        try:
            await queue.get()
        except asyncio.QueueShutDown:
            print(length)


async def produce(queue: "asyncio.Queue[int | None]") -> AsyncIterator[int]:
    while (item := await queue.get()) is not None:
        yield item


# --- Streams, transports, children ---------------------------------------------------------------


async def serve_client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        line: bytes = await reader.readline()
        line += await reader.readuntil(b"\r\n") + await reader.readexactly(3) + await reader.read()
        async for more in reader:
            line += more
        writer.writelines([line, bytearray(line), memoryview(line)])
        await writer.drain()
        peer: Any = writer.get_extra_info("peername")
        transport: asyncio.WriteTransport = writer.transport
        print(peer, transport.get_write_buffer_size(), reader.at_eof(), writer.is_closing())
        await writer.start_tls(ssl.create_default_context(), server_hostname="x")
    except asyncio.IncompleteReadError as error:
        print(error.partial, error.expected)
    except asyncio.LimitOverrunError as error:
        print(error.consumed)
    finally:
        writer.close()
        await writer.wait_closed()


async def streams() -> None:
    server: asyncio.Server = await asyncio.start_server(serve_client, "localhost", 0, limit=9)
    local: asyncio.Server = await asyncio.start_unix_server(serve_client, "/tmp/x")
    servers: list[asyncio.AbstractServer] = [server, local]
    async with server, local:
        reader, writer = await asyncio.open_connection("localhost", 80, ssl=True)
        pair: tuple[asyncio.StreamReader, asyncio.StreamWriter]
        pair = await asyncio.open_unix_connection("/tmp/x")
        await serve_client(reader, writer)
        await serve_client(*pair)
        addresses = [each.getsockname() for each in server.sockets]
        await server.serve_forever()
    for each in servers:
        each.close()
        await each.wait_closed()
    print(addresses)


async def pipe(loop: asyncio.AbstractEventLoop) -> asyncio.StreamReader:
    reader = asyncio.StreamReader(limit=9, loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    await loop.connect_read_pipe(lambda: protocol, sys.stdin)
    transport, end = await loop.connect_write_pipe(asyncio.BaseProtocol, sys.stdout)
    asyncio.StreamWriter(transport, end, reader, loop).write(b"x")
    reader.feed_data(b"x")
    reader.feed_eof()
    return reader


class Echo(asyncio.Protocol):
    transport: asyncio.Transport

    def __init__(self, closed: asyncio.Future[None]) -> None:
        self.closed = closed

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)
        self.transport.pause_reading()

    def eof_received(self) -> bool | None:
        return self.transport.can_write_eof()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set_result(None)


class Buffers(asyncio.BufferedProtocol):
    def get_buffer(self, sizehint: int) -> bytearray:
        return bytearray(sizehint)

    def buffer_updated(self, nbytes: int) -> None:
        print(nbytes)


class Datagrams(asyncio.DatagramProtocol):
    transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.DatagramTransport):
            self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        if self.transport is not None:
            self.transport.sendto(data, addr)


class Child(asyncio.SubprocessProtocol):
    def __init__(self, ended: asyncio.Event) -> None:
        self.ended = ended

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        print(fd, data)

    def process_exited(self) -> None:
        self.ended.set()


async def transports(loop: asyncio.AbstractEventLoop) -> None:
    closed: asyncio.Future[None] = loop.create_future()
    transport, echo = await loop.create_connection(lambda: Echo(closed), "localhost", 80)
    await echo.closed
    plain: asyncio.Transport = transport
    secure: asyncio.Transport | None = await loop.start_tls(
        plain, echo, ssl.create_default_context()
    )
    server: asyncio.Server = await loop.create_server(Buffers, port=0)
    datagrams, protocol = await loop.create_datagram_endpoint(Datagrams, ("localhost", 0))
    by_udp: asyncio.DatagramTransport = datagrams
    child, by_child = await loop.subprocess_exec(lambda: Child(asyncio.Event()), "true")
    process: asyncio.SubprocessTransport = child
    await by_child.ended.wait()
    code: int | None = process.get_returncode()
    ends: list[asyncio.BaseTransport] = [plain, by_udp, process]
    sources: list[asyncio.ReadTransport] = [plain]
    try:
        with open("/dev/null", "rb") as file:
            await loop.sendfile(plain, file)
    except asyncio.SendfileNotAvailableError:
        sources[0].resume_reading()
    for end in ends:
        end.close()
    server.close()
    print(secure, code, protocol.transport)


async def children() -> int:
    pipe = asyncio.subprocess.PIPE
    process: asyncio.subprocess.Process = await asyncio.create_subprocess_exec(
        "cat", "-", stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.STDOUT, limit=9
    )
    output, errors = await process.communicate(b"x")
    print(output.decode(), errors)
    shell = await asyncio.create_subprocess_shell("exit 1", stdout=asyncio.subprocess.DEVNULL)
    stdin: asyncio.StreamWriter | None = process.stdin
    stdout: asyncio.StreamReader | None = process.stdout
    if stdin is not None and stdout is not None:
        stdin.write(await stdout.read())
    shell.send_signal(signal.SIGINT)
    return await shell.wait() + (process.returncode or 0)


# --- Modules -------------------------------------------------------------------------------------


def modules(
    lock: asyncio.locks.Lock,
    queue: asyncio.queues.Queue[int],
    loop: asyncio.events.AbstractEventLoop,
    base: asyncio.base_events.BaseEventLoop,
    task: asyncio.tasks.Task[int],
    future: asyncio.futures.Future[int],
    flow: asyncio.streams.FlowControlMixin,
    transport: asyncio.transports.Transport,
    protocol: asyncio.protocols.Protocol,
    timeout: asyncio.timeouts.Timeout,
    group: asyncio.taskgroups.TaskGroup,
    error: asyncio.exceptions.CancelledError,
    runner: asyncio.runners.Runner,
) -> Awaitable[int]:
    asyncio.runners.run(word(1))
    asyncio.coroutines.iscoroutine(word(1))
    print(lock, queue, base, flow, transport, protocol, timeout, group, error, runner)
    return asyncio.tasks.ensure_future(task, loop=loop) if task.done() else future


def passed_on(
    lock: asyncio.Lock, queue: asyncio.Queue[int], runner: asyncio.Runner, group: asyncio.TaskGroup
) -> None:
    loop = asyncio.new_event_loop()
    future: asyncio.Future[int] = loop.create_future()
    modules(
        asyncio.Lock(),
        asyncio.PriorityQueue(),
        loop,
        asyncio.SelectorEventLoop(),
        loop.create_task(number("x")),
        newest([future]),
        asyncio.StreamReaderProtocol(asyncio.StreamReader()),
        asyncio.Transport(),
        Echo(loop.create_future()),
        asyncio.timeout(1),
        group,
        asyncio.CancelledError(),
        runner,
    )
    unbound: list[asyncio.mixins._LoopBoundMixin] = [lock, queue]
    print(unbound, NamedFuture[int]("x"), CountedTask(number("x")), Cache(number).future("x"))
