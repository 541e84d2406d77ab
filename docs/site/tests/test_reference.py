"""The reference shows every public name, says whose it is, and what can be said of it."""

from __future__ import annotations

import asyncio
import inspect
import re
import sys
from pathlib import Path

import batonloop
import pytest

SITE = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(SITE))

import reference  # noqa: E402


@pytest.fixture(scope="module")
def written():
    return reference.Reference()


@pytest.fixture(scope="module")
def pages(written):
    return written.pages()


def entries(page: str) -> list[str]:
    """What a page describes, in order, without arguments."""
    return re.findall(r"^:+\{py:\w+\} ([\w.]+)", page, re.M)


def entry(page: str, name: str) -> str:
    """What a page says of a name, to the next one."""
    return re.split(r"^:+\{py:", page.split(f"}} {name}", 1)[1], maxsplit=1, flags=re.M)[0]


def test_every_public_name_is_in_the_index_and_on_one_page(written, pages):
    shown = re.findall(r"^\| \{py:obj\}`~([\w.]+)`", pages["index"], re.M)
    names = [name for name in batonloop.__all__ if not name.startswith("_")]
    assert sorted(full.rpartition(".")[2] for full in shown) == sorted(names)
    everything = [name for page in pages.values() for name in entries(page)]
    for full in shown:
        assert everything.count(full) == 1, full
    assert len(everything) == len(set(everything))


def test_whose_a_name_is():
    assert reference.is_ours("batonloop.tasks", "Task")
    assert reference.is_ours("batonloop.installation", "install")
    assert not reference.is_ours("batonloop.queues", "QueueEmpty")


def test_the_index_says_whose_a_name_is(pages):
    for name in batonloop.__all__:
        if not name.startswith("_"):
            [row] = re.findall(rf"^\| \{{py:obj\}}`~[\w.]*\b{name}` .*$", pages["index"], re.M)
            is_theirs = getattr(asyncio, name, None) is getattr(batonloop, name)
            assert ("| asyncio's |" in row) == is_theirs, row


def test_a_native_class_has_signature_text_and_members(pages):
    page = pages["batonloop.futures"]
    assert "{py:class} batonloop.Future(*, loop=None)" in page
    assert (inspect.getdoc(batonloop.Future) or "").splitlines()[0].strip() in page
    assert "{py:method} batonloop.Future.add_done_callback(fn, /, *, context=None)" in page
    assert "batonloop.Future._" not in page


def test_a_signature_that_an_object_does_not_tell_is_asyncios(pages):
    assert "{py:class} batonloop.Lock()" in pages["batonloop.locks"]
    assert "{py:class} batonloop.Queue(maxsize=0)" in pages["batonloop.queues"]


def test_a_signature_has_no_types(pages):
    assert (
        "{py:function} batonloop.run(main, *, debug=None, loop_factory=None)\n"
        in (pages["batonloop.runners"])
    )


def test_what_is_a_coroutine_in_asyncio_is_called_so(pages):
    assert entry(pages["batonloop.tasks"], "batonloop.sleep").split("\n")[1] == ":async:"
    assert ":async:" in entry(pages["batonloop.locks"], "batonloop.Lock.acquire")
    assert ":async:" not in entry(pages["batonloop.locks"], "batonloop.Lock.release")


def test_what_is_inherited_is_listed_where_it_is_not_described(pages):
    task = pages["batonloop.tasks"]
    assert "batonloop.Task.result" not in entries(task)
    assert "- {py:obj}`result <batonloop.Future.result>`: Return the result." in task
    # A quick copy of a method stands on the loop's own class.
    assert "batonloop.EventLoop.call_soon" not in entries(pages["batonloop.unix_events"])
    runners = pages["batonloop.runners"]
    assert (
        f"- [`get_loop`]({reference.LIBRARY}/asyncio-runner.html#asyncio.Runner.get_lo" in runners
    )


def test_what_is_asyncios_leads_to_asyncios_documentation(written, pages):
    text = entry(pages["batonloop.queues"], "batonloop.QueueEmpty")
    assert f"({reference.LIBRARY}/asyncio-queue.html#asyncio.QueueEmpty)" in text
    borrowed = f"{reference.LIBRARY}/asyncio-eventloop.html#asyncio.loop.sendfile"
    assert borrowed in pages["batonloop.selector_events"]
    place = f"{reference.LIBRARY}/asyncio-queue.html#asyncio.Queue.get"
    assert written.member_link(asyncio.Queue, "get") == f"[`get`]({place})"
    # What it does not describe by itself.
    assert reference.address("AbstractServer") == f"{reference.LIBRARY}/asyncio.html"


def test_asyncios_documentation_has_a_place_for_its_names():
    # Those that it does not describe by themselves.
    left_out = {
        "AbstractServer",
        "BaseDefaultEventLoopPolicy",
        "BaseEventLoop",
        "FrameCallGraphEntry",
        "FutureCallGraph",
        "StreamReaderProtocol",
        "get_child_watcher",
        "iscoroutinefunction",
        "set_child_watcher",
    }
    names = {name for name in asyncio.__all__ if not name.startswith("_") and not name.isupper()}
    found = names - reference.CHAPTER_OF.keys()
    assert {name for name in found if "ChildWatcher" not in name} <= left_out


@pytest.mark.parametrize(
    ("doc", "markdown"),
    [
        ("One *args, a_b <c> [d] and |.", r"One \*args, a\_b \<c\> \[d\] and \|."),
        ("See `a_b` and ``*c``.", "See `a_b` and `*c`."),
        ("Call `run()` or `debug`.", "Call {py:obj}`run() <batonloop.run>` or `debug`."),
        ("Items:\n\n- a *b\n- c", "Items:\n\n- a \\*b\n- c"),
        ("As:\n\n    f(*x)\n    g", "As:\n\n```text\nf(*x)\ng\n```"),
        (">>> f(*x)\n1", "```text\n>>> f(*x)\n1\n```"),
        ("A lone ` stays.", r"A lone \` stays."),
    ],
)
def test_a_docstring_is_shown_as_it_is_meant(written, doc, markdown):
    assert "\n".join(written.text(doc)).strip() == markdown


def test_the_first_sentence_is_the_summary():
    assert reference.summary("Do it. And that.\n\nMore.") == "Do it."
    assert reference.summary("Do it; or\nnot.") == "Do it"
    assert reference.summary("Call e.g.\nthis") == "Call e.g."
    assert reference.summary("") == ""
