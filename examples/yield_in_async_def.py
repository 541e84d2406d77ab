"""`yield` inside async def makes an async generator, `yield from` is a syntax error.

What to see: the types the two kinds of definition give, what asyncio.run() thinks of an async
generator, and the words of the syntax error.
"""

import asyncio
from collections.abc import AsyncGenerator


async def coroutine_function() -> None:
    pass


async def with_yield() -> AsyncGenerator[int, None]:
    yield 1


plain, generator = coroutine_function(), with_yield()
print(f"without yield: {type(plain).__name__}")
print(f"with yield: {type(generator).__name__}")
plain.close()
try:
    asyncio.run(generator)  # type: ignore[arg-type]
except (TypeError, ValueError):
    # A ValueError up to Python 3.13, a TypeError from 3.14 on.
    print("asyncio.run() refuses it")
try:
    compile("async def f():\n    yield from g()\n", "f.py", "exec")
except SyntaxError as error:
    print(f"yield from: SyntaxError: {error.msg}")
