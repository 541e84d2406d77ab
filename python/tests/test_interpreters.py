"""Other interpreters in the process, and a second load of the native module."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from conftest import World

# The module's name and its functions changed from version to version.
WITH_SUBINTERPRETER = """
import asyncio, os, sys
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters

def run_inside(code, own_gil):
    if sys.version_info >= (3, 13):
        made = interpreters.create("isolated" if own_gil else "legacy")
    else:
        made = interpreters.create(isolated=own_gil)
    try:
        failure = interpreters.run_string(made, code)
    except Exception as error:
        failure = error
    if failure is not None:
        print("failed:", failure)
    # Left to the end of the process: in some versions it cannot be destroyed without a crash.
"""


@pytest.mark.skipif(sys.version_info < (3, 12), reason="_asyncio cannot be shared before 3.12")
@pytest.mark.parametrize("own_gil", [True, False])
def test_asyncio_of_a_subinterpreter_knows_its_own_tasks(
    world: World, run_program: Any, own_gil: bool
) -> None:
    if own_gil and sys.version_info < (3, 13):
        pytest.skip("asyncio crashes in an interpreter with a GIL of its own")
    done = run_program(
        WITH_SUBINTERPRETER
        + f"""
code = '''
import asyncio

async def main():
    for _ in range(200):
        task = asyncio.current_task()
        assert type(task).__module__ == "_asyncio", task
        assert asyncio.get_running_loop() is task.get_loop()
        async with asyncio.timeout(60):
            await asyncio.sleep(0)

asyncio.run(main())
print("inside", flush=True)
'''

async def main():
    me = asyncio.current_task()
    run_inside(code, {own_gil})
    assert asyncio.current_task() is me

asyncio.run(main())
print("end", flush=True)
os._exit(0)
"""
    )
    assert (done.out, done.status) == ("inside\nend\n", 0), done.err


@pytest.mark.skipif(sys.version_info < (3, 12), reason="_asyncio cannot be shared before 3.12")
def test_a_subinterpreter_cannot_load_us_and_changes_nothing(run_program: Any) -> None:
    done = run_program(
        WITH_SUBINTERPRETER
        + """
import batonloop

run_inside("import batonloop", False)

async def main():
    assert type(asyncio.current_task()) is batonloop.Task
    future = asyncio.get_running_loop().create_future()
    future.get_loop().call_soon(future.set_result, 1)
    print(await future)

batonloop.run(main())
sys.stdout.flush()
os._exit(0)
"""
    )
    assert "works in the main interpreter only" in done.out
    assert (done.out.splitlines()[-1], done.status) == ("1", 0), done.err


def test_a_second_load_is_refused_and_changes_nothing(run_program: Any) -> None:
    done = run_program(
        """
        import sys
        import batonloop

        kept = sys.modules.pop("batonloop._batonloop")
        try:
            import batonloop._batonloop
        except ImportError as error:
            print(error)

        async def main():
            future = batonloop.Future()
            future.get_loop().call_soon(future.set_result, 1)
            return await future

        print(batonloop.run(main()))
        """
    )
    assert done.out == (
        "cannot load batonloop._batonloop: it is loaded already, and stays so: "
        "keep 'batonloop._batonloop' in sys.modules\n1\n"
    ), done.err
