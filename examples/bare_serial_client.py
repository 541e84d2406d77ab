"""Ask a slow server, then do our own sums: one after the other, with blocking sockets.

What to see: the total is the server's time plus our own. bare_async_client.py does the same work
in little more than the longer of the two.

Usage: bare_serial_client.py [seconds the server takes]
"""

import pathlib
import random
import socket
import subprocess
import sys
import time

BESIDE = pathlib.Path(__file__).parent
CHUNKS, CHUNK = 20, 50_000


def ask(port: int) -> str:
    with socket.create_connection(("127.0.0.1", port)) as server:
        answer = b""
        while part := server.recv(64):
            answer += part
    return answer.decode()


def sum_at_home() -> float:
    return sum(sum(random.uniform(0, 1) for _ in range(CHUNK)) for _ in range(CHUNKS))


def main(seconds: str) -> None:
    command = [sys.executable, str(BESIDE / "bare_server.py"), "1", seconds]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        began = time.perf_counter()
        answer = ask(port)
        print(f"the server's number is there: {abs(float(answer)) < 10}")
        total = sum_at_home()
        print(f"our own sum is there: {total > 0}")
        print(f"both took {time.perf_counter() - began:.3f} s")


main(sys.argv[1] if len(sys.argv) > 1 else "0.2")
