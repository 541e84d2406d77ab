"""What wakes a resting loop: a timer, a readable file, call_soon_threadsafe(), a signal.

What to see: each wakes it alone. Plain call_soon() from another thread is not one of them: the
loop sleeps on until something else wakes it.
"""

import asyncio
import os
import signal
import socket
import threading
import time

loop = asyncio.new_event_loop()


def rest(why: str) -> None:
    began = time.monotonic()
    alarm = loop.call_later(5, loop.stop)
    loop.run_forever()
    alarm.cancel()
    print(f"woken by {why}: {time.monotonic() - began < 4}")


loop.call_later(0.01, loop.stop)
rest("a timer")

left, right = socket.socketpair()
loop.add_reader(left, loop.stop)
writer = threading.Timer(0.01, right.send, [b"!"])
writer.start()
rest("a readable socket")
loop.remove_reader(left)
writer.join()
left.close()
right.close()

caller = threading.Timer(0.01, loop.call_soon_threadsafe, [loop.stop])
caller.start()
rest("call_soon_threadsafe")
caller.join()

loop.add_signal_handler(signal.SIGUSR1, loop.stop)
sender = threading.Timer(0.01, os.kill, [os.getpid(), signal.SIGUSR1])
sender.start()
rest("a signal")
loop.remove_signal_handler(signal.SIGUSR1)
sender.join()

ran_after = []
began = time.monotonic()
wrong = threading.Timer(0.02, loop.call_soon, [lambda: ran_after.append(time.monotonic() - began)])
wrong.start()
loop.call_later(0.2, loop.stop)
loop.run_forever()
wrong.join()
print(f"plain call_soon from a thread waited for the next timer: {ran_after[0] >= 0.19}")
loop.close()
