"""Debug mode names whoever keeps the baton for a tenth of a second or longer.

What to see: one warning for the 0.15 s step of main. The 0.02 s step and the whole run without
debug mode give none.
"""

import asyncio
import logging
import sys
import time


def hog(seconds: float) -> None:
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


async def main() -> None:
    hog(0.02)
    await asyncio.sleep(0)
    hog(0.15)


logging.basicConfig(stream=sys.stdout, format="%(levelname)s %(name)s: %(message)s")
print("without debug:")
asyncio.run(main())
print("with debug:")
asyncio.run(main(), debug=True)
