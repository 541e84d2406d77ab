"""An awaited future gives what result() gives, which may be an exception.

What to see: `result` is a method. A future that failed raises inside the waiter, at its await;
one that was cancelled cancels the waiter there.
"""

import asyncio


async def open_box(future: "asyncio.Future[str]") -> str:
    try:
        return f"found {await future!r}"
    except ValueError as error:
        return f"the await raised {error!r}"


async def main() -> None:
    loop = asyncio.get_running_loop()
    full, broken, withdrawn = (loop.create_future() for _ in range(3))
    print(f"result is a method: {callable(full.result)}")
    openers = [asyncio.create_task(open_box(box)) for box in (full, broken, withdrawn)]
    await asyncio.sleep(0)
    full.set_result("pearls")
    broken.set_exception(ValueError("a wasp"))
    withdrawn.cancel()
    await asyncio.wait(openers)
    for opener in openers:
        print("cancelled" if opener.cancelled() else opener.result())


asyncio.run(main())
