"""Long computations, awaited as tasks and as coroutines, beside an impatient visitor.

What to see: neither way computes in the background. With tasks the visitor gets in first, at the
first pause; with coroutines there is no pause, and the visitor waits for the very last result.
"""

import asyncio


async def count_digits(n: int) -> None:
    product = 1
    for factor in range(2, n + 1):
        product *= factor
    print(f"  {n}! has {product.bit_length()} bits")


async def visitor() -> None:
    print("  visitor: anybody there?")


async def main(as_task: bool) -> None:
    guest = asyncio.create_task(visitor())
    for n in (500, 600, 700):
        await (asyncio.create_task(count_digits(n)) if as_task else count_digits(n))
    await guest


print("as tasks:")
asyncio.run(main(as_task=True))
print("as coroutines:")
asyncio.run(main(as_task=False))
