"""The life of a future: pending, then exactly once a result, an exception or a cancellation.

What to see: what each question answers in each state, and that the callbacks are queued, not
called, at the moment the result is set.
"""

import asyncio


def ask(title: str, future: "asyncio.Future[object]") -> None:
    try:
        result = repr(future.result())
    except BaseException as error:
        result = f"{type(error).__name__}({error})"
    print(f"{title}: done {future.done()}, cancelled {future.cancelled()}, result {result}")


async def main() -> None:
    loop = asyncio.get_running_loop()
    pending, finished, failed, cancelled = (loop.create_future() for _ in range(4))
    finished.set_result("tea")
    failed.set_exception(ValueError("no tea"))
    cancelled.cancel("tea is off")
    ask("pending  ", pending)
    ask("finished ", finished)
    ask("failed   ", failed)
    ask("cancelled", cancelled)
    try:
        finished.set_result("coffee")
    except asyncio.InvalidStateError as error:
        print(f"a second result: InvalidStateError: {error}")
    print(f"cancel() when done: {finished.cancel()}")
    try:
        asyncio.current_task().set_result("me")
    except RuntimeError as error:
        print(f"a task's result is its own affair: {error}")

    called: list[str] = []
    for name in ("first", "second", "third"):
        pending.add_done_callback(lambda future, name=name: called.append(name))
    pending.set_result(ValueError("an exception may be a plain result"))
    print(f"right after set_result: {called}")
    await asyncio.sleep(0)
    print(f"one turn later: {called}")
    ask("an exception as result", pending)


asyncio.run(main())
