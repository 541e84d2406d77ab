"""Two tasks and one value, step by step: the small program to follow in every detail.

What to see: 5 is tripled in a task of its own, 15 comes back, 17 is the result. The numbers in
front are the turns of the loop: the value needs no turn of its own, only the waking does.
"""

import asyncio

turn = 0


def count_turns() -> None:
    global turn
    turn += 1
    loop.call_soon(count_turns)


def say(text: str) -> None:
    print(f"turn {turn}: {text}")


async def triple(value: int) -> int:
    say(f"    triple starts with {value}")
    say(f"    triple returns {value * 3}")
    return value * 3


async def main() -> int:
    say("main starts, makes a task for triple, awaits it")
    tripled = await asyncio.create_task(triple(5))
    say(f"main goes on with {tripled}, returns {tripled + 2}")
    return tripled + 2


loop = asyncio.new_event_loop()
loop.call_soon(count_turns)
print("result:", loop.run_until_complete(main()))
loop.close()
