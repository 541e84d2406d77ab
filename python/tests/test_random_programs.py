"""Random async programs do the same on asyncio and on batonloop.

The same programs are drawn in every run, 2,000 if nobody says how many; `pytest --programs=100000`
asks for more, and `--seed=7` for others; or BATONLOOP_PROGRAMS and BATONLOOP_SEED in the
environment do. A failure prints the shortest program that still differs, what happened before, and
what happened then in each world. Its program goes into test_found_by_random.py.
"""

from __future__ import annotations

import faulthandler
import sys

import pytest
from conftest import HANG_SECONDS, REAL_STDERR, chosen_worlds
from hypothesis import HealthCheck, Phase, given, seed, settings
from random_programs import worlds
from random_programs.comparison import Difference, compare, record
from random_programs.planted import BUGS
from random_programs.programs import Program, programs

# So many programs at least are compared where the generator itself is tested, for it takes long.
MANY = 2000
# Both ways of using batonloop; the first gets most of the programs.
SHARES = {"batonloop": 0.8, "batonloop_loop_only": 0.2}

# So many are drawn at a time.
PORTION = 1000

MOST_FOR_A_PLANTED_BUG = 3000

slow = pytest.mark.slow
# From 3.14 on hypothesis warns about a random generator of its own.
pytestmark = pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning")


def check(
    world: worlds.World,
    count: int,
    *themes: str,
    shrink: bool = True,
    seed_number: int | None = None,
) -> None:
    """Compare so many random programs, of these themes or of all, on asyncio and in this world."""
    for beyond in range(PORTION, count, PORTION):
        # hypothesis keeps in mind all that it drew at a time: two gigabytes for 5,000 programs.
        number = beyond if seed_number is None else seed_number + beyond
        check(world, min(PORTION, count - beyond), *themes, shrink=shrink, seed_number=number)
    count = min(count, PORTION)
    stock = worlds.stock()

    @settings(
        max_examples=count,
        derandomize=seed_number is None,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink] if shrink else [Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(programs(*themes))
    def agree(program: Program) -> None:
        compare(str(program), stock, world)

    (agree if seed_number is None else seed(seed_number)(agree))()


@pytest.fixture
def count(request: pytest.FixtureRequest) -> int:
    """How many programs are wanted."""
    return int(request.config.getoption("--programs"))


@pytest.fixture
def seed_number(request: pytest.FixtureRequest) -> int | None:
    """Which programs are wanted, if not those of every run."""
    number: int | None = request.config.getoption("--seed")
    return number


@pytest.fixture
def long_test(request: pytest.FixtureRequest, count: int) -> None:
    """Gives a test that runs many programs the time that they need, and still ends a hang."""
    limit = HANG_SECONDS + max(count, MOST_FOR_A_PLANTED_BUG) * 0.1
    stderr = request.config.stash[REAL_STDERR]
    faulthandler.dump_traceback_later(limit, exit=True, file=stderr)


@slow
@pytest.mark.skipif("batonloop" not in chosen_worlds(), reason="only stock asyncio is wanted")
@pytest.mark.parametrize("way", SHARES)
@pytest.mark.usefixtures("long_test")
def test_a_random_program_does_the_same_on_batonloop(
    way: str, count: int, seed_number: int | None
) -> None:
    check(getattr(worlds, way)(), max(1, int(count * SHARES[way])), seed_number=seed_number)


@slow
@pytest.mark.usefixtures("long_test")
def test_a_random_program_does_the_same_on_both_twins_of_asyncio(
    count: int, seed_number: int | None
) -> None:
    # If asyncio in C and asyncio in Python did not agree, the comparison would mean nothing.
    check(worlds.plain(), max(1, count // 8), seed_number=seed_number)


@slow
@pytest.mark.skipif("asyncio" not in chosen_worlds(), reason="only batonloop is wanted")
@pytest.mark.parametrize("bug", BUGS)
@pytest.mark.usefixtures("long_test")
def test_the_generator_finds_a_planted_bug(bug: str, count: int) -> None:
    if count < MANY:
        pytest.skip("few programs are wanted")
    if "eager" in bug and sys.version_info < (3, 12):
        pytest.skip("no eager tasks before 3.12")
    if "since_3_13" in bug and sys.version_info < (3, 13):
        pytest.skip("asyncio has that since 3.13")
    make, theme = BUGS[bug]
    with pytest.raises(Difference):
        check(make(), MOST_FOR_A_PLANTED_BUG, theme, shrink=False)


def test_a_difference_is_told_with_the_program_and_both_versions() -> None:
    text = "f0 = loop.create_future()\nf0.cancel('why')\nasync def main():\n    log(await f0)\n"
    text += "run_until_complete(main())\n"
    with pytest.raises(Difference) as caught:
        compare(text, worlds.stock(), BUGS["a_cancelled_future_forgets_its_message"][0]())
    told = str(caught.value)
    assert "  4      log(await f0)" in told
    assert "and then in asyncio\n" in told
    assert "main raised  ('CancelledError', 'why')" in told
    assert "main raised  ('CancelledError',)" in told


def test_a_program_prints_only_what_it_reaches() -> None:
    program = Program([["log(1)"], ["log(f1)"], [], []], [["log(2)"], []])
    assert str(program) == "\n@body\nasync def main():\n    log(1)\n\nrun_until_complete(main())\n"


def test_an_endless_program_ends_after_a_fixed_number_of_turns() -> None:
    first, second = record(
        "async def main():\n    while True:\n        await asyncio.sleep(0)\n"
        "run_until_complete(main())\n",
        worlds.stock(),
        worlds.stock(),
    )
    assert first == second
    assert "Event loop stopped before Future completed." in str(first)
