"""Ask a slow server and do our own sums meanwhile: a non-blocking socket and a bare yield.

What to see: nothing is taken from asyncio but the loop. One task sums and yields after each
chunk; the other looks whether the answer is there and yields when it is not. They alternate.

Usage: bare_async_client.py [seconds the server takes]
"""

import asyncio
import pathlib
import random
import socket
import subprocess
import sys
import time
from collections.abc import Generator

BESIDE = pathlib.Path(__file__).parent
CHUNKS, CHUNK = 20, 50_000
turns: list[str] = []


class Yield:
    def __await__(self) -> Generator[None, None, None]:
        yield


async def ask(port: int) -> str:
    with socket.create_connection(("127.0.0.1", port)) as server:
        server.setblocking(False)
        answer = b""
        while True:
            turns.append("ask")
            try:
                part = server.recv(64)
            except BlockingIOError:
                await Yield()
                continue
            if not part:
                return answer.decode()
            answer += part


async def sum_at_home() -> float:
    total = 0.0
    for _ in range(CHUNKS):
        turns.append("sum")
        total += sum(random.uniform(0, 1) for _ in range(CHUNK))
        await Yield()
    return total


async def main(port: int) -> None:
    began = time.perf_counter()
    asking = asyncio.create_task(ask(port))
    summing = asyncio.create_task(sum_at_home())
    # Two awaits: `await asking, summing` would be a tuple, and wait only for the first.
    answer = await asking
    total = await summing
    print(f"the server's number is there: {abs(float(answer)) < 10}")
    print(f"our own sum is there: {total > 0}")
    print(f"the first turns: {' '.join(turns[:6])}")
    print(f"both took {time.perf_counter() - began:.3f} s")


seconds = sys.argv[1] if len(sys.argv) > 1 else "0.2"
command = [sys.executable, str(BESIDE / "bare_server.py"), "1", seconds]
with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
    assert process.stdout is not None
    asyncio.run(main(int(process.stdout.readline())))
