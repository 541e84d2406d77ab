"""What a future and a task are, as toys: a status light, and a status light with a coroutine.

What to see: the light knows nothing of the work; somebody sets it. The toy task sets its own
light when its coroutine ends. asyncio's two classes stand in the same relation.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any


class Light:
    def __init__(self) -> None:
        self.state = "pending"
        self.answer: Any = None

    def turn_green(self, answer: Any) -> None:
        self.state = "done"
        self.answer = answer


class Errand(Light):
    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        super().__init__()
        self.coroutine = coroutine

    def step(self) -> None:
        try:
            self.coroutine.send(None)
        except StopIteration as end:
            self.turn_green(end.value)


def multiply_up_to(n: int, light: Light) -> None:
    product = 1
    for factor in range(2, n + 1):
        product *= factor
    light.turn_green(product)


async def fetch_bread() -> str:
    return "one loaf"


light = Light()
print(f"light before: {light.state}, {light.answer}")
multiply_up_to(5, light)
print(f"light after:  {light.state}, {light.answer}")

errand = Errand(fetch_bread())
print(f"errand before: {errand.state}, {errand.answer}")
errand.step()
print(f"errand after:  {errand.state}, {errand.answer}")

print(f"asyncio.Task is a kind of asyncio.Future: {issubclass(asyncio.Task, asyncio.Future)}")
