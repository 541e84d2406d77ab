"""Make a loop, give it a task, run it for ever; another thread says stop.

What to see: run_forever() does not return when the last task ends. It rests, and only stop() ends
it; from another thread, stop() must travel through call_soon_threadsafe().
"""

import asyncio
import threading

finished = threading.Event()


async def main() -> str:
    print("main runs")
    finished.set()
    return "done"


def stop_when_finished(loop: asyncio.AbstractEventLoop) -> None:
    finished.wait()
    print("thread: main is over and the loop still runs; stopping it")
    loop.call_soon_threadsafe(loop.stop)


loop = asyncio.new_event_loop()
task = loop.create_task(coro=main())
print(f"task made, loop not started, done: {task.done()}")
thread = threading.Thread(target=stop_when_finished, args=(loop,))
thread.start()
loop.run_forever()
thread.join()
loop.close()
print(f"loop closed: {loop.is_closed()}, task: {task.result()}")
