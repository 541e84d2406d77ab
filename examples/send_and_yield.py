"""No loop at all: send() starts and resumes a coroutine, yields travel out to it.

What to see: the well's 7 comes out through the await to whoever called send(); the 42 of the next
send() arrives inside the well as the value of its yield; the 23 that main returns is the value of
the StopIteration.
"""

from collections.abc import Generator


class Well:
    def __await__(self) -> Generator[int, int, int]:
        print("    well: lets the bucket down, yields 7")
        echo = yield 7
        print(f"    well: pulled up again with {echo}")
        return echo


async def main() -> int:
    print("  main: begins and awaits the well")
    drawn = await Well()
    print(f"  main: drew {drawn} from the well, returns 23")
    return 23


coroutine = main()
print("driver: send(None)")
came_out = coroutine.send(None)
print(f"driver: {came_out} came out; main is paused. send(42)")
try:
    coroutine.send(42)
except StopIteration as end:
    print(f"driver: main is over, its value is {end.value}")
