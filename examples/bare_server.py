"""A bare server: blocking sockets, one caller at a time, a slow answer. Used by the bare clients.

What to see: nothing of asyncio. It prints its port, and for each of its callers it takes a while
(it sleeps, as if a disk were slow), sends one number and hangs up.

Usage: bare_server.py [callers] [seconds an answer takes]
"""

import random
import socket
import sys
import time

callers = int(sys.argv[1]) if len(sys.argv) > 1 else 0
seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 0.2

with socket.create_server(("127.0.0.1", 0)) as server:
    print(server.getsockname()[1] if callers else "no callers expected", flush=True)
    for _ in range(callers):
        caller, _address = server.accept()
        with caller:
            time.sleep(seconds)
            caller.sendall(f"{random.gauss(0, 1):+.3f}".encode())
