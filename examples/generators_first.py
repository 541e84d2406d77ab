"""Coroutines stand on generators: a body that pauses and goes on where it stopped.

What to see: making the generator prints nothing, each next() runs to the following yield, and the
end of the body is an exception, StopIteration.
"""

from collections.abc import Generator


def stairs() -> Generator[int, None, str]:
    print("  step onto the first stair")
    yield 1
    print("  step onto the second stair")
    yield 2
    return "at the top"


climb = stairs()
print(f"made {climb!r}; nobody has moved")
print("next() gave", next(climb))
print("next() gave", next(climb))
try:
    next(climb)
except StopIteration as end:
    print(f"next() raised StopIteration, value: {end.value!r}")
