"""A program in which some modules say asyncio and others batonloop. It is checked, never run."""

import asyncio
from collections.abc import Callable

import batonloop
import batonloop.testing
from batonloop import locks, queues
from batonloop.runners import Runner
from batonloop.streams import StreamReaderProtocol
from batonloop.subprocess import PIPE, Process
from batonloop.tasks import Task, wait


async def word(number: int) -> str:
    return await asyncio.sleep(0, str(number))


def theirs(
    future: asyncio.Future[str],
    task: asyncio.Task[str],
    handle: asyncio.Handle,
    timer: asyncio.TimerHandle,
    lock: asyncio.Lock,
    event: asyncio.Event,
    queue: asyncio.Queue[str],
    least: asyncio.PriorityQueue[str],
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    group: asyncio.TaskGroup,
    timeout: asyncio.Timeout,
    barrier: asyncio.Barrier,
    semaphore: asyncio.BoundedSemaphore,
    runner: asyncio.Runner,
    loop: asyncio.AbstractEventLoop,
) -> None:
    ours(
        future,
        task,
        handle,
        timer,
        lock,
        event,
        queue,
        least,
        reader,
        writer,
        group,
        timeout,
        barrier,
        semaphore,
        runner,
        loop,
    )


def ours(
    future: batonloop.Future[str],
    task: batonloop.Task[str],
    handle: batonloop.Handle,
    timer: batonloop.TimerHandle,
    lock: batonloop.Lock,
    event: batonloop.Event,
    queue: batonloop.Queue[str],
    least: batonloop.PriorityQueue[str],
    reader: batonloop.StreamReader,
    writer: batonloop.StreamWriter,
    group: batonloop.TaskGroup,
    timeout: batonloop.Timeout,
    barrier: batonloop.Barrier,
    semaphore: batonloop.BoundedSemaphore,
    runner: batonloop.Runner,
    loop: batonloop.AbstractEventLoop,
) -> None:
    theirs(
        future,
        task,
        handle,
        timer,
        lock,
        event,
        queue,
        least,
        reader,
        writer,
        group,
        timeout,
        barrier,
        semaphore,
        runner,
        loop,
    )


async def main() -> None:
    first: asyncio.Task[str] = batonloop.create_task(word(1))
    second: batonloop.Task[str] = asyncio.create_task(word(2))
    done, pending = await batonloop.wait({first, second}, return_when=asyncio.FIRST_COMPLETED)
    done, pending = await asyncio.wait(pending)
    both: list[str] = await asyncio.gather(*done, batonloop.shield(first))
    loop = batonloop.get_running_loop()
    future: asyncio.Future[int] = loop.create_future()
    wrapped: batonloop.Future[int] = asyncio.wrap_future(future)
    try:
        async with batonloop.timeout(1), asyncio.TaskGroup() as group:
            third: batonloop.Task[str] = group.create_task(word(await wrapped))
    except asyncio.CancelledError as error:
        cancelled: batonloop.CancelledError = error
        raise cancelled from None
    reader, writer = await batonloop.open_connection("localhost", 80)
    connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] = reader, writer
    process: asyncio.subprocess.Process = await batonloop.create_subprocess_exec("true")
    await process.wait()
    print(both, third.result(), connection)


async def of_modules(reader: asyncio.StreamReader) -> None:
    task: Task[str] = asyncio.create_task(word(1))
    done, _ = await wait([task])
    tasks: set[asyncio.Task[str]] = done
    protocol: asyncio.StreamReaderProtocol = StreamReaderProtocol(reader)
    least: asyncio.PriorityQueue[int] = queues.PriorityQueue()
    barrier: locks.Barrier = asyncio.Barrier(2)
    runner: asyncio.Runner = Runner()
    process: Process = await asyncio.create_subprocess_exec("true", stdin=PIPE)
    print(tasks, protocol, least, barrier, runner, process)


class Loop(batonloop.EventLoop):
    def time(self) -> float:
        return super().time() + 1


def loops() -> None:
    loop = batonloop.EventLoop()
    factory: Callable[[], asyncio.AbstractEventLoop] = batonloop.EventLoop
    kept: asyncio.BaseEventLoop = loop
    soon: asyncio.Handle = loop.call_soon(print)
    later: asyncio.TimerHandle = loop.call_later(1, print)
    future: asyncio.Future[int] = loop.create_future()
    task: asyncio.Task[str] = loop.create_task(word(1))
    away: asyncio.Future[int] = loop.run_in_executor(None, len, "x")
    result: str = loop.run_until_complete(task)
    batonloop.run(main(), loop_factory=Loop)
    batonloop.testing.run(main())
    batonloop.set_event_loop_policy(batonloop.EventLoopPolicy())
    with asyncio.Runner(loop_factory=batonloop.new_event_loop) as runner:
        ours_too: batonloop.Runner = runner
    batonloop.install(rebind=True)
    batonloop.uninstall()
    print(factory, kept, soon, later, future, away, result, ours_too, batonloop.__version__)
