"""A yield deep inside travels through every await above it, up to the one who called send().

What to see: the chain of who awaits whom, read from outside while all of them are paused; one
send() goes all the way down again.
"""

from collections.abc import Generator


class Cellar:
    def __await__(self) -> Generator[str, str, str]:
        answer = yield "a knock from the cellar"
        return f"heard {answer!r} in the cellar"


async def ground_floor() -> str:
    return await Cellar()


async def attic() -> str:
    return await ground_floor()


coroutine = attic()
print(f"send(None) gives: {coroutine.send(None)!r}")
inner = coroutine.cr_await
print(f"{coroutine.__qualname__} awaits {inner.__qualname__} awaits {inner.cr_await.__qualname__}")
try:
    coroutine.send("come in")
except StopIteration as end:
    print(f"the end gives: {end.value!r}")
