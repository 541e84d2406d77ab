"""A loop, a future and a task in forty lines: enough to run two tasks that wait for each other.

What to see: every hand-off, indented by who has the baton. The loop knows only a queue of calls;
the task does the rest: it sends into its coroutine, and asks whatever comes out to wake it again.
"""

from collections import deque
from collections.abc import Callable, Coroutine, Generator
from typing import Any

ready: deque[Callable[[], None]] = deque()


class Future:
    def __init__(self) -> None:
        self.result: Any = None
        self.done = False
        self.callbacks: list[Callable[[], None]] = []

    def set_result(self, result: Any) -> None:
        self.result, self.done = result, True
        ready.extend(self.callbacks)

    def __await__(self) -> Generator["Future", None, Any]:
        if not self.done:
            yield self
        return self.result


class Task(Future):
    def __init__(self, name: str, coroutine: Coroutine[Any, Any, Any]) -> None:
        super().__init__()
        self.name, self.coroutine = name, coroutine
        ready.append(self.step)

    def step(self) -> None:
        print(f"    {self.name}.step: sends into its coroutine")
        try:
            awaited = self.coroutine.send(None)
        except StopIteration as end:
            print(f"    {self.name}.step: the coroutine returned {end.value}")
            self.set_result(end.value)
        else:
            print(f"    {self.name}.step: {awaited.name} came out; it shall wake {self.name}")
            awaited.callbacks.append(self.step)


async def triple(value: int) -> int:
    print(f"        triple: 3 times {value}")
    return 3 * value


async def add() -> int:
    print("        add: makes a task and awaits it")
    value = await Task("triple", triple(5))
    print(f"        add: got {value}, adds 2")
    return value + 2


Task("add", add())
while ready:
    print(f"loop: {len(ready)} in the queue, takes the first")
    ready.popleft()()
print("loop: nothing left")
