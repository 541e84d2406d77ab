"""The plugin for pytest: its loop, the tests it runs, and the tasks that tests leave behind."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from conftest import World, program_environment

TESTS = """
import asyncio
import sys

assert "batonloop" not in sys.modules, "the plugin alone needs no loop"

import pytest


async def forever():
    await asyncio.Event().wait()


def passed_a_plain_test_gets_a_loop(batonloop_loop):
    import batonloop

    assert type(batonloop_loop) is batonloop.EventLoop
    assert batonloop_loop.run_until_complete(asyncio.sleep(0, "slept")) == "slept"


@pytest.mark.batonloop
async def passed_a_coroutine_runs_in_the_loop(batonloop_loop, tmp_path):
    assert asyncio.get_running_loop() is batonloop_loop
    assert tmp_path.exists()


@pytest.mark.batonloop
@pytest.mark.parametrize("number", [1, 2])
async def passed_it_need_not_name_the_loop(number):
    assert type(asyncio.get_running_loop()).__module__ == "batonloop.unix_events"


@pytest.mark.batonloop(virtual_time=True)
class passed_time_can_jump:
    async def passed_in_coroutines(self):
        await asyncio.sleep(3600)
        assert asyncio.get_running_loop().time() == 3600

    def passed_in_plain_tests(self, batonloop_loop):
        batonloop_loop.run_until_complete(asyncio.sleep(3600))

    async def failed_a_deadlock(self):
        await forever()


@pytest.mark.batonloop
async def failed_a_leak_is_named():
    asyncio.create_task(forever(), name="lost")
    await asyncio.sleep(0)


def failed_a_leak_of_a_plain_test_too(batonloop_loop):
    batonloop_loop.create_task(forever(), name="lost, too")


@pytest.mark.batonloop
async def failed_an_error_is_said_before_a_leak():
    asyncio.create_task(forever())
    assert "this" == "not that"


@pytest.mark.batonloop(may_leave_tasks=True)
async def passed_a_leak_may_be_allowed():
    asyncio.create_task(forever())


@pytest.mark.batonloop
async def passed_a_cancelled_task_is_no_leak():
    task = asyncio.create_task(forever())
    await asyncio.sleep(0)
    task.cancel()


async def failed_who_asks_for_nothing_gets_nothing():
    pass
"""

BESIDE = """
import asyncio

import anyio
import batonloop
import pytest
import pytest_asyncio


@pytest.mark.batonloop(virtual_time=True)
async def passed_ours():
    await anyio.sleep(3600)
    assert asyncio.get_running_loop().time() == 3600


@pytest.mark.asyncio
async def passed_of_pytest_asyncio():
    asyncio.create_task(asyncio.sleep(0))
    loop = asyncio.get_running_loop()
    assert isinstance(loop, batonloop.EventLoop)


@pytest_asyncio.fixture
async def number():
    yield await asyncio.sleep(0, 7)


@pytest.mark.asyncio
async def passed_with_a_fixture(number, batonloop_loop):
    assert number == 7
    assert asyncio.get_running_loop() is not batonloop_loop


@pytest.fixture
def anyio_backend():
    return "asyncio", {"loop_factory": batonloop.new_event_loop}


@pytest.mark.anyio
async def passed_of_anyio():
    async with anyio.create_task_group() as group:
        group.start_soon(anyio.sleep, 0)
    assert isinstance(asyncio.get_running_loop(), batonloop.EventLoop)


@pytest.mark.anyio
async def failed_of_anyio(batonloop_loop):
    batonloop_loop.create_task(anyio.sleep(1), name="left")
"""

# pytest-asyncio asks here for its loops.
BESIDE_CONFTEST = """
import batonloop


def pytest_asyncio_loop_factories(config, item):
    return {"batonloop": batonloop.new_event_loop}
"""

CONFIGURATION = """
[pytest]
python_files = tests.py
python_functions = passed_* failed_*
python_classes = passed_*
"""


def run_tests(
    directory: Path, source: str, *options: str, alone: bool = True
) -> tuple[dict[str, str], str]:
    """How each test ended, by its name, and all that pytest wrote."""
    (directory / "tests.py").write_text(textwrap.dedent(source))
    (directory / "pytest.ini").write_text(CONFIGURATION)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "pytest_batonloop", "-rA", "-W", "error"),
            *("-p", "no:cacheprovider", *options),
        ],
        cwd=directory,
        env=program_environment({"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"} if alone else None),
        capture_output=True,
        text=True,
        timeout=60,
    )
    written = done.stdout + done.stderr
    found = re.findall(r"^(PASSED|FAILED|ERROR|SKIPPED) .*tests\.py::(\S+)", written, re.M)
    assert found, written
    return {name: how for how, name in found}, written


def check_outcomes(outcomes: dict[str, str], written: str) -> None:
    for name, how in outcomes.items():
        assert how == name.rpartition("::")[2].partition("_")[0].upper(), written


def test_it_runs_tests_in_the_loop_and_finds_what_they_leave(ours: World, tmp_path: Path) -> None:
    outcomes, written = run_tests(tmp_path, TESTS)
    check_outcomes(outcomes, written)
    assert len(outcomes) == 13
    lost = r"the test ends, and these tasks are not done:\n  lost \(forever\) waits for <Future "
    assert re.search(lost + r"pending .*>, in .*Event\.wait", written)
    assert "lost, too (forever) waits to run" in written
    assert "Deadlock: nothing is ready" in written
    assert "not that" in written


def test_the_time_of_all_tests_can_be_made_to_jump(ours: World, tmp_path: Path) -> None:
    source = """
        import asyncio, pytest

        @pytest.mark.batonloop
        async def passed_jumps():
            await asyncio.sleep(3600)

        @pytest.mark.batonloop(virtual_time=False)
        async def passed_does_not():
            assert not hasattr(asyncio.get_running_loop(), "_before_sleep")
    """
    outcomes, written = run_tests(tmp_path, source, "--batonloop-virtual-time")
    check_outcomes(outcomes, written)
    assert len(outcomes) == 2


def test_a_marker_with_a_slip_is_refused(ours: World, tmp_path: Path) -> None:
    source = """
        import pytest

        @pytest.mark.batonloop(virtual_tme=True)
        async def passed_nothing():
            pass

        @pytest.mark.batonloop(True)
        async def passed_nothing_either():
            pass
        """
    outcomes, written = run_tests(tmp_path, source)
    assert set(outcomes.values()) == {"ERROR"}
    assert "takes virtual_time and may_leave_tasks by name, not virtual_tme=True" in written
    assert "takes virtual_time and may_leave_tasks by name, not True" in written


@pytest.mark.skipif(
    not (importlib.util.find_spec("anyio") and importlib.util.find_spec("pytest_asyncio")),
    reason="the other plugins are not here",
)
def test_it_works_beside_pytest_asyncio_and_anyio(ours: World, tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(BESIDE_CONFTEST)
    scope = "asyncio_default_fixture_loop_scope=function"
    outcomes, written = run_tests(tmp_path, BESIDE, "-o", scope, alone=False)
    outcomes = {name.partition("[")[0]: how for name, how in outcomes.items()}
    check_outcomes(outcomes, written)
    assert len(outcomes) == 5
    assert "left (sleep) waits to run" in written
