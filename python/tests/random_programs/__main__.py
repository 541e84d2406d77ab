"""Compare many random programs, from python/tests: `python -m random_programs --programs 100000`.

Goes on seed by seed, so that a long hunt can be cut short and taken up again.
"""

from __future__ import annotations

import argparse
import sys

from hypothesis import HealthCheck, Phase, given, seed, settings

from . import worlds
from .comparison import Difference, compare
from .programs import Program, programs
from .themes import THEMES

PER_SEED = 1000


def hunt(world: worlds.World, count: int, seed_number: int, *themes: str) -> None:
    """Compare `count` programs of one seed, of these themes or of all."""
    stock = worlds.stock()

    @seed(seed_number)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(programs(*themes))
    def agree(program: Program) -> None:
        compare(str(program), stock, world)

    agree()


def main() -> int:
    parser = argparse.ArgumentParser(prog="random_programs", description=__doc__)
    parser.add_argument("--programs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    ways = ("batonloop", "batonloop_loop_only", "plain", "stock")
    parser.add_argument("--world", choices=ways, default=ways[0])
    parser.add_argument("--theme", choices=THEMES, action="append", default=[])
    options = parser.parse_args()
    world = getattr(worlds, options.world)()
    left, number = options.programs, options.seed
    while left > 0:
        count = min(left, PER_SEED)
        try:
            hunt(world, count, number, *options.theme)
        except Difference as difference:
            print(f"seed {number}: {difference}")
            return 1
        left -= count
        print(f"seed {number}: {count} programs do the same, {left} to go", flush=True)
        number += 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
