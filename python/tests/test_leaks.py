"""Nothing leaks: what is made and forgotten a million times leaves no memory behind.

Ours are made a million times, asyncio's a hundred thousand times: it is not asyncio that is judged,
and it takes longer. BATONLOOP_CREATIONS=N makes it N times in both worlds.
"""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import sys
from collections.abc import Callable
from typing import Any

import pytest
from conftest import World

CREATIONS = {"ours": 1_000_000, "asyncio's": 100_000}
BATCH = 1000

# An allocator holds an arena of 1 MB or two more or less; a hundred thousand lost objects of the
# smallest kind are 5 MB.
GROWTH = 2_200_000
PAGE = os.sysconf("SC_PAGE_SIZE")


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * PAGE


creations = 0


@pytest.fixture(autouse=True)
def count(world: World) -> None:
    """Decide how many creations there are in this world."""
    global creations
    usual = CREATIONS["ours" if world.is_ours else "asyncio's"]
    creations = int(os.environ.get("BATONLOOP_CREATIONS") or usual)


def check_flat(batch: Callable[[], object], share: int = 1) -> None:
    """Fail if memory or objects grow with the number of batches; what is dear is made less often.

    A batch makes BATCH objects; share=4 makes a fourth of the usual number of batches. A fourth
    more come first, unmeasured: lists of free memory fill up (ours keep 1,024 dead objects of each
    type), the later the fewer objects the collector finds at once.
    """
    batches = creations // share // BATCH
    for _ in range(max(10, batches // 4)):
        batch()
    gc.collect()
    objects, blocks, memory = len(gc.get_objects()), sys.getallocatedblocks(), resident()
    for _ in range(batches):
        batch()
    gc.collect()
    objects = len(gc.get_objects()) - objects
    blocks = sys.getallocatedblocks() - blocks
    memory = resident() - memory
    assert objects < 100, f"{objects} more objects"
    assert blocks < 1000, f"{blocks} more blocks"
    assert memory < GROWTH, f"{memory} more bytes"


pytestmark = pytest.mark.slow


def test_handles_leave_nothing(world: World, loop: Any) -> None:
    def batch() -> None:
        for number in range(BATCH):
            loop.call_soon(int, number)
        world.turn(loop)

    check_flat(batch)


def test_handles_with_many_arguments_leave_nothing(world: World, loop: Any) -> None:
    def take(*args: object) -> None: ...

    def batch() -> None:
        for number in range(BATCH):
            loop.call_soon(take, number, "two", [3], {4: 4}, 5.5)
        world.turn(loop)

    check_flat(batch)


def test_cancelled_handles_leave_nothing(world: World, loop: Any) -> None:
    def batch() -> None:
        for number in range(BATCH):
            loop.call_soon(int, number).cancel()
        world.turn(loop)

    check_flat(batch)


def test_threadsafe_handles_leave_nothing(world: World, loop: Any) -> None:
    def batch() -> None:
        for number in range(BATCH):
            loop.call_soon_threadsafe(int, number)
        world.turn(loop)

    check_flat(batch)


def test_timers_leave_nothing(world: World, loop: Any) -> None:
    def batch() -> None:
        for number in range(BATCH):
            loop.call_at(number / BATCH, int, number)
        world.turn(loop)

    check_flat(batch)


def test_cancelled_timers_of_a_far_day_leave_nothing(world: World, loop: Any) -> None:
    # A loop that waits for their time before it forgets them grows without end.
    def batch() -> None:
        for number in range(BATCH):
            loop.call_later(3600 + number, int, [number] * 10).cancel()
        world.turn(loop)

    check_flat(batch)


def test_failing_callbacks_leave_nothing(world: World, loop: Any) -> None:
    def fail() -> None:
        raise LookupError

    def batch() -> None:
        for _ in range(BATCH):
            loop.call_soon(fail)
        world.turn(loop)

    loop.set_exception_handler(lambda loop, context: None)
    check_flat(batch, share=4)


def test_futures_leave_nothing(world: World, loop: Any) -> None:
    def batch() -> None:
        for number in range(BATCH):
            loop.create_future()
            done = loop.create_future()
            done.add_done_callback(id)
            done.add_done_callback(id)
            done.set_result(number)
            loop.create_future().cancel()
            failed = loop.create_future()
            failed.set_exception(LookupError)
            failed.exception()
        world.turn(loop)

    check_flat(batch, share=2)


def test_tasks_leave_nothing(world: World, loop: Any) -> None:
    async def main(number: int) -> int:
        await world.sleep(0)
        return number

    def batch() -> None:
        for number in range(BATCH):
            loop.create_task(main(number))
        world.turn(loop, 3)

    check_flat(batch)


def test_cancelled_tasks_leave_nothing(world: World, loop: Any) -> None:
    async def main() -> None:
        await loop.create_future()

    def batch() -> None:
        tasks = [loop.create_task(main()) for _ in range(BATCH)]
        world.turn(loop)
        for task in tasks:
            task.cancel()
        world.turn(loop, 3)

    check_flat(batch, share=2)


def test_failing_tasks_leave_nothing(world: World, loop: Any) -> None:
    async def main() -> None:
        raise LookupError

    def batch() -> None:
        tasks = [loop.create_task(main()) for _ in range(BATCH)]
        world.turn(loop, 2)
        for task in tasks:
            task.exception()

    check_flat(batch, share=2)


def test_tasks_that_wait_for_tasks_leave_nothing(world: World, loop: Any) -> None:
    async def give(number: int) -> int:
        return number

    async def main() -> None:
        for number in range(BATCH // 4):
            assert await world.create_task(give(number)) == number
        await asyncio.gather(*(give(number) for number in range(BATCH // 4)))

    check_flat(lambda: loop.run_until_complete(main()))


def test_lost_tasks_leave_nothing(world: World, loop: Any) -> None:
    async def main() -> None:
        await loop.create_future()

    def batch() -> None:
        for _ in range(BATCH):
            task = loop.create_task(main())
            task._log_destroy_pending = False
        del task
        world.turn(loop)
        gc.collect()

    check_flat(batch, share=4)


def test_sleeping_leaves_nothing(world: World, loop: Any) -> None:
    async def main() -> None:
        await world.sleep(1e-9)

    def batch() -> None:
        tasks = [loop.create_task(main()) for _ in range(BATCH)]
        while not all(task.done() for task in tasks):
            world.turn(loop)

    check_flat(batch, share=4)


def test_subclasses_leave_nothing(world: World, loop: Any) -> None:
    class MyFuture(world.Future):  # type: ignore[name-defined,misc]
        pass

    class MyTask(world.Task):  # type: ignore[name-defined,misc]
        pass

    async def main() -> None: ...

    def batch() -> None:
        for number in range(BATCH):
            future = MyFuture(loop=loop)
            future.attribute = number
            future.set_result(future)
            task = MyTask(main(), loop=loop)
            task.attribute = task
        world.turn(loop, 2)
        del future, task
        gc.collect()

    check_flat(batch, share=4)


def test_readers_and_writers_leave_nothing(world: World, loop: Any) -> None:
    ours, theirs = socket.socketpair()

    def batch() -> None:
        for number in range(BATCH):
            loop.add_reader(ours, int, number)
            loop.add_writer(ours, int, number)
            loop.add_writer(ours, int, number)
            loop.remove_reader(ours)
            loop.remove_writer(ours)

    check_flat(batch, share=4)
    ours.close()
    theirs.close()


def test_reading_leaves_nothing(world: World, loop: Any) -> None:
    ours, theirs = socket.socketpair()
    theirs.send(b"x")
    loop.add_reader(ours, int, 5)
    check_flat(lambda: world.turn(loop, BATCH), share=4)
    loop.remove_reader(ours)
    ours.close()
    theirs.close()


def test_datagrams_leave_nothing(world: World, loop: Any) -> None:
    class Counting(asyncio.DatagramProtocol):
        count = 0

        def datagram_received(self, data: bytes, addr: Any) -> None:
            self.count += 1

    made = loop.create_datagram_endpoint(Counting, local_addr=("127.0.0.1", 0))
    transport, protocol = loop.run_until_complete(made)
    address = transport.get_extra_info("sockname")

    def batch() -> None:
        for number in range(0, BATCH, 50):
            wanted = protocol.count + 50
            # No more at once than the kernel holds.
            for _ in range(50):
                transport.sendto(b"%500d" % number, address)
            world.run_until(loop, lambda wanted=wanted: protocol.count == wanted)

    check_flat(batch, share=20)
    transport.close()
    world.turn(loop, 2)


def test_endpoints_and_pipes_leave_nothing(world: World, loop: Any) -> None:
    class Reader(asyncio.Protocol):
        is_lost = False

        def connection_lost(self, exc: BaseException | None) -> None:
            self.is_lost = True

    async def one() -> None:
        made = loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0))
        endpoint, _ = await made
        r, w = os.pipe()
        _, reader = await loop.connect_read_pipe(Reader, open(r, "rb", 0))
        writer, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, open(w, "wb", 0))
        writer.write(bytes(100_000))
        writer.close()
        endpoint.sendto(b"x", endpoint.get_extra_info("sockname"))
        endpoint.close()
        while not reader.is_lost:
            await asyncio.sleep(0)

    def batch() -> None:
        for _ in range(BATCH // 20):
            loop.run_until_complete(one())

    check_flat(batch, share=20)


def test_waiting_for_sockets_leaves_nothing(world: World, loop: Any) -> None:
    left, right = socket.socketpair()
    left.setblocking(False)
    right.setblocking(False)
    buffer = bytearray(8)

    async def main() -> None:
        for number in range(BATCH // 4):
            receive = loop.sock_recv(left, 8) if number % 2 else loop.sock_recv_into(left, buffer)
            receiving = loop.create_task(receive)
            await asyncio.sleep(0)
            if number % 3 == 0:
                receiving.cancel()
                await asyncio.wait([receiving])
                continue
            await loop.sock_sendall(right, memoryview(b"data"))
            await receiving
            loop.sock_recv(left, 8).close()

    check_flat(lambda: loop.run_until_complete(main()), share=20)
    left.close()
    right.close()


def test_connections_that_come_and_go_leave_nothing(world: World, loop: Any) -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.setblocking(False)
            for _ in range(BATCH // 20):
                accepting = loop.create_task(loop.sock_accept(server))
                with socket.socket() as client:
                    client.setblocking(False)
                    await loop.sock_connect(client, server.getsockname())
                    accepted, _ = await accepting
                    with accepted:
                        receiving = loop.create_task(loop.sock_recv(accepted, 8))
                        await asyncio.sleep(0)
                        await loop.sock_sendall(client, b"data")
                        await receiving

    check_flat(lambda: loop.run_until_complete(main()), share=50)


def test_loops_leave_nothing(world: World) -> None:
    def batch() -> None:
        for _ in range(10):
            loop = world.new_event_loop()
            loop.call_soon(print, loop)
            loop.call_later(60, print, loop)
            loop.close()

    check_flat(batch)


def test_runs_leave_nothing(world: World) -> None:
    async def main() -> None:
        await world.sleep(0)

    def batch() -> None:
        for _ in range(5):
            world.run(main())

    check_flat(batch)


def test_debug_mode_leaves_nothing(world: World, loop: Any) -> None:
    async def main() -> None:
        await world.sleep(0)

    def batch() -> None:
        for number in range(BATCH // 10):
            loop.call_soon(int, number)
            loop.call_later(0, int, number).cancel()
            loop.create_task(main())
        world.turn(loop, 3)

    loop.set_debug(True)
    loop.slow_callback_duration = 100.0
    check_flat(batch, share=4)


def test_a_loop_of_asyncio_that_runs_our_tasks_keeps_nothing(world: World) -> None:
    loop = asyncio.SelectorEventLoop()

    async def catch(future: Any) -> Any:
        try:
            await future
        except ValueError:
            return bytearray(10_000)

    async def main() -> None:
        for _ in range(BATCH):
            future = world.Future(loop=loop)
            task = world.Task(catch(future), loop=loop)
            await asyncio.sleep(0)
            future.set_exception(ValueError())
            await task

    check_flat(lambda: loop.run_until_complete(main()), share=10)
    loop.close()


@pytest.mark.parametrize("kind", ["Lock", "Event", "Condition", "Semaphore", "BoundedSemaphore"])
def test_primitives_leave_nothing(world: World, loop: Any, kind: str) -> None:
    new = getattr(world.module, kind)

    async def use() -> None:
        for _ in range(BATCH // 2):
            new().itself = new()
        for _ in range(BATCH // 10):
            primitive = new()
            if kind == "Event":
                asyncio.get_running_loop().call_soon(primitive.set)
                await primitive.wait()
            else:
                await primitive.acquire()
                asyncio.get_running_loop().call_soon(primitive.release)
                async with primitive:
                    pass

    check_flat(lambda: loop.run_until_complete(use()), 2)


def test_queues_leave_nothing(world: World, loop: Any) -> None:
    # A thousand dead ones are kept for the next.
    queues = [world.module.Queue() for _ in range(2 * BATCH)]
    del queues

    async def use() -> None:
        queue = world.module.Queue(2)
        for number in range(BATCH):
            await queue.put(number)
            await queue.get()
        for _ in range(BATCH // 10):
            waiting = world.module.Queue()
            asyncio.get_running_loop().call_soon(waiting.put_nowait, waiting)
            await waiting.get()
            waiting.put_nowait(waiting)

    check_flat(lambda: loop.run_until_complete(use()), 2)


def test_timeouts_leave_nothing(world: World, loop: Any) -> None:
    wait_for, timeout = world.module.wait_for, world.module.timeout

    async def use() -> None:
        for number in range(BATCH // 4):
            async with timeout(3600) as kept:
                kept.itself = kept
            future = loop.create_future()
            loop.call_soon(future.set_result, number)
            async with timeout(None if number % 2 else 60.0):
                await future
            await wait_for(future, 10**6)
            await wait_for(world.sleep(0), 60.0)
            if not number % 10:
                for late in (0, 1e-9):
                    try:
                        await wait_for(loop.create_future(), late)
                    except TimeoutError:
                        pass

    check_flat(lambda: loop.run_until_complete(use()), 4)


def test_task_groups_leave_nothing(world: World, loop: Any) -> None:
    async def work(number: int) -> None:
        await world.sleep(0)
        if number == 99:
            raise LookupError

    async def use() -> None:
        for first in (0, 25, 50, 75, 20):
            try:
                async with world.module.TaskGroup() as group:
                    group.itself = group
                    for number in range(first, first + 25):
                        group.create_task(work(number), name=None if number % 5 else "five")
            except* LookupError:
                pass

    check_flat(lambda: loop.run_until_complete(use()), 2)


def test_streams_leave_nothing(world: World, loop: Any) -> None:
    # What is read whole and in parts, who waits and is cancelled, readers with a buffer that is
    # looked at, and whole connections.
    async def batch() -> None:
        reader = world.module.StreamReader()
        for _ in range(BATCH // 100):
            for data in (b"x" * 100, b"one\n" * 50, b"y" * 70_000):
                reader.feed_data(data)
                assert await reader.read(100_000) == data
            reader.feed_data(b"one\ntwo\nthree")
            assert await reader.readline() == b"one\n"
            reader.feed_data(b"and\nfour")
            assert await reader.readuntil(b"and\n") == b"two\nthreeand\n"
            assert reader._buffer == b"four" == await reader.readexactly(4)
            waiting = asyncio.ensure_future(reader.readexactly(3))
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait([waiting])
            other = world.module.StreamReader(limit=1)
            other.feed_data(b"lost")
            other.itself = other
            protocol = world.module.StreamReaderProtocol(other)
            protocol.connection_lost(ValueError())
        ours, theirs = socket.socketpair()
        reader, writer = await world.module.open_connection(sock=ours)
        theirs.sendall(b"hello")
        assert await reader.read(100) == b"hello"
        writer.write(b"goodbye")
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        theirs.close()

    check_flat(lambda: loop.run_until_complete(batch()), share=16)
