"""Writes the reference of the Python package, as Markdown for Sphinx: a page a module.

    python docs/site/reference.py DIRECTORY

Everything comes from the modules themselves: which names there are from each `__all__`, signatures
and texts from the objects. What is the very object that asyncio has is asyncio's; all else is ours.
Where a class of ours tells no signature or no text, asyncio's of that name is shown, for it is the
specification. This runs in a Python that has batonloop, and needs nothing else.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import inspect
import pkgutil
import re
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

import batonloop

LIBRARY = f"https://docs.python.org/{sys.version_info[0]}.{sys.version_info[1]}/library"
"""asyncio's documentation, of the Python that this runs on."""

CHAPTERS = {
    "runner": "run Runner",
    "task": "Task TaskGroup Timeout all_tasks as_completed create_eager_task_factory create_task "
    "current_task eager_task_factory gather iscoroutine run_coroutine_threadsafe shield sleep "
    "timeout timeout_at to_thread wait wait_for",
    "stream": "StreamReader StreamWriter open_connection open_unix_connection start_server "
    "start_unix_server",
    "sync": "Barrier BoundedSemaphore BrokenBarrierError Condition Event Lock Semaphore",
    "subprocess": "create_subprocess_exec create_subprocess_shell",
    "queue": "LifoQueue PriorityQueue Queue QueueEmpty QueueFull QueueShutDown",
    "exceptions": "CancelledError IncompleteReadError InvalidStateError LimitOverrunError "
    "SendfileNotAvailableError TimeoutError",
    "eventloop": "AbstractEventLoop EventLoop Handle SelectorEventLoop Server TimerHandle "
    "get_event_loop get_running_loop new_event_loop set_event_loop",
    "future": "Future ensure_future isfuture wrap_future",
    "protocol": "BaseProtocol BaseTransport BufferedProtocol DatagramProtocol DatagramTransport "
    "Protocol ReadTransport SubprocessProtocol SubprocessTransport Transport WriteTransport",
    "policy": "AbstractEventLoopPolicy DefaultEventLoopPolicy get_event_loop_policy "
    "set_event_loop_policy",
    "graph": "capture_call_graph format_call_graph future_add_to_awaited_by "
    "future_discard_from_awaited_by print_call_graph",
}
"""Which chapter of asyncio's documentation has which name. Its page is not fetched to find out."""
CHAPTER_OF = {name: chapter for chapter, names in CHAPTERS.items() for name in names.split()}

INTERNAL = ("resolver",)
"""Modules that have a list of names for their neighbours only."""

OUTER, INNER = "::::::", ":::::"
"""What encloses a name, and a name in a class."""


def main() -> None:
    """Write all pages."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in Reference().pages().items():
        (folder / f"{name}.md").write_text(text, encoding="utf-8")


class Reference:
    """All public names of the package, and where each is described."""

    def __init__(self) -> None:
        self.modules = public_modules()
        # Names of the package, and the module that has them; it has more names of its own.
        self.homes: dict[str, str] = {}
        for module, names in self.modules.items():
            for name in names:
                if getattr(batonloop, name, self) is value_of(module, name):
                    self.homes.setdefault(name, module)
        rest = [name for name in public(batonloop.__all__) if name not in self.homes]
        self.modules = {"batonloop": rest} | self.modules
        self.entries: dict[type, str] = {}
        """Classes of ours, and their full names."""
        self.known: dict[str, str] = {}
        """What can be linked to, under all names that a text may use."""
        for module, names in self.modules.items():
            for name in names:
                full = self.full_name(module, name)
                self.known |= {f"{module}.{name}": full, full: full}
                value = value_of(module, name)
                if inspect.isclass(value) and is_ours(module, name):
                    self.entries[value] = full
        for cls, full in self.entries.items():
            for name in self.sorted_members(cls)[0]:
                self.known[f"{full}.{name}"] = f"{full}.{name}"

    def full_name(self, module: str, name: str) -> str:
        """What a program says: without the module where the package has the name."""
        return f"batonloop.{name}" if self.homes.get(name) == module else f"{module}.{name}"

    def pages(self) -> dict[str, str]:
        """The pages by their names."""
        pages = {module: "\n".join(self.page(module)) + "\n" for module in self.modules}
        pages["index"] = "\n".join(self.index()) + "\n"
        return pages

    def index(self) -> Iterator[str]:
        """The page with every public name, and with the pages of the modules below it."""
        version = ".".join(map(str, sys.version_info[:2]))
        yield from ("# Reference", "")
        yield (
            f"Every public name of batonloop {batonloop.__version__}, on Python {version}. A name "
            "that is *asyncio's* is the very object that asyncio has, and works here as it is; all "
            "others are made anew. Types are in the stubs that come with the package."
        )
        yield from ("", "| name | whose | what it is |", "| --- | --- | --- |")
        for name in sorted(public(batonloop.__all__), key=str.lower):
            home = self.homes.get(name, "batonloop")
            whose = "**batonloop's**" if is_ours(home, name) else "asyncio's"
            what = self.in_line(summary(document(getattr(batonloop, name), twin(home, name))))
            cell = what.replace("|", "\\|")
            yield f"| {{py:obj}}`~{self.full_name(home, name)}` | {whose} | {cell} |"
        yield from ("", ":::{toctree}", ":maxdepth: 1", ":caption: Modules", "")
        yield from (*sorted(self.modules), ":::")

    def page(self, module: str) -> Iterator[str]:
        """The page of a module: its own names first, then asyncio's."""
        names = self.modules[module]
        text = importlib.import_module(module).__doc__ or ""
        yield from (f"# {module}", "", *self.text(text), "")
        ours = [name for name in names if is_ours(module, name)]
        theirs = [name for name in names if name not in ours]
        if ours:
            yield from ("## Made anew", "")
        for name in ours:
            yield from self.describe_ours(module, name)
        if theirs:
            yield from ("## As asyncio has it", "")
        for name in theirs:
            yield from self.describe_theirs(module, name)

    def describe_ours(self, module: str, name: str) -> Iterator[str]:
        """A name of ours, with what it has."""
        value, model = value_of(module, name), twin(module, name)
        full = self.full_name(module, name)
        yield from heading(OUTER, full, value, model)
        yield from self.text(document(value, model), full)
        yield ""
        if inspect.isclass(value):
            own, inherited = self.sorted_members(value)
            for member, part in own.items():
                yield from self.describe_member(full, member, part, model)
            for holder, parts in inherited.items():
                yield from (f"From {self.class_link(holder)}:", "")
                for member, part in parts.items():
                    what = self.in_line(summary(document(part, getattr(model, member, None))))
                    yield f"- {self.member_link(holder, member)}: {what}".removesuffix(": ")
                yield ""
        yield from (OUTER, "")

    def describe_member(self, full: str, name: str, value: object, model: object) -> Iterator[str]:
        """A method or attribute of a class of ours."""
        theirs = getattr(model, name, None)
        yield from heading(INNER, f"{full}.{name}", value, theirs, in_class=True)
        yield from self.text(document(value, theirs), full)
        if model is asyncio.AbstractEventLoop and module_of(value).startswith("asyncio."):
            yield from ("", f"asyncio's own: [`loop.{name}()`]({loop_address(name)}).")
        yield from (INNER, "")

    def describe_theirs(self, module: str, name: str) -> Iterator[str]:
        """A name that is asyncio's, or comes from elsewhere."""
        value = value_of(module, name)
        yield from heading(OUTER, self.full_name(module, name), value, value)
        yield from self.text(document(value, value))
        yield ""
        if name in asyncio.__all__:
            yield f"It is [`asyncio.{name}`]({address(name)})."
        else:
            yield f"It is `{module.replace('batonloop', 'asyncio')}.{name}`."
        yield from (OUTER, "")

    def sorted_members(self, cls: type) -> tuple[dict[str, object], dict[type, dict[str, object]]]:
        """What to describe with this class, and what it has from classes described elsewhere."""
        own: dict[str, object] = {}
        inherited: dict[type, dict[str, object]] = {}
        for name, (definer, value) in members(cls).items():
            holder = cls if module_of(definer).startswith("batonloop") else definer
            for above in cls.__mro__[1:]:
                found = members(above).get(name) if above in self.entries else None
                # What only a copy of another class's method is, as quick ones are, stands there.
                if found and module_of(found[0]).startswith("batonloop"):
                    if inspect.getdoc(found[1]) == inspect.getdoc(value):
                        holder = above
            if holder is cls:
                own[name] = value
            else:
                inherited.setdefault(holder, {})[name] = value
        return own, inherited

    def class_link(self, cls: type) -> str:
        """A class of ours or asyncio's, in a sentence."""
        if cls in self.entries:
            return f"{{py:obj}}`{self.entries[cls]}`"
        return f"[`asyncio.{cls.__name__}`]({address(cls.__name__)})"

    def member_link(self, cls: type, name: str) -> str:
        """What a class of ours or asyncio's has, in a sentence."""
        if cls in self.entries:
            return f"{{py:obj}}`{name} <{self.entries[cls]}.{name}>`"
        if cls.__name__ in CHAPTER_OF:
            return f"[`{name}`]({address(cls.__name__)}.{name})"
        return f"`{name}`"

    def text(self, text: str, owner: str = "") -> Iterator[str]:
        """A docstring as Markdown. What is laid out by hand in it stays as it is."""
        for block in re.split(r"\n\s*\n", text.strip()):
            lines = block.split("\n")
            is_list = all(re.match(r"[-*] |  ", line) for line in lines)
            if is_list and re.match(r"[-*] ", lines[0]):
                for line in lines:
                    mark, rest = line[:2].replace("*", "-"), line[2:]
                    yield mark + self.in_line(rest, owner)
            elif any(line.startswith((" ", ">>>")) for line in lines):
                yield from ("```text", *textwrap.dedent(block).split("\n"), "```")
            else:
                for line in lines:
                    yield self.in_line(line, owner)
            yield ""

    def in_line(self, line: str, owner: str = "") -> str:
        """A line of a docstring: what is between backticks is code, and a link if we know it."""

        def code(found: re.Match[str]) -> str:
            text = found[2]
            name = text.removesuffix("()")
            if name != text or "." in name or name[:1].isupper():
                if name.startswith("asyncio.") and name[8:] in CHAPTER_OF:
                    return f"[`{text}`]({address(name[8:])})"
                for candidate in (f"{owner}.{name}", f"batonloop.{name}", name):
                    if candidate in self.known and candidate != owner:
                        return f"{{py:obj}}`{text} <{self.known[candidate]}>`"
            return f"`{text}`"

        parts = re.split(r"(`+[^`]+`+)", line)
        return "".join(
            re.sub(r"(`+)([^`]+)`+", code, part) if number % 2 else escaped(part)
            for number, part in enumerate(parts)
        )


def public_modules() -> dict[str, list[str]]:
    """The modules that a program may want, with their public names."""
    found = {}
    for entry in pkgutil.iter_modules(batonloop.__path__):
        module = f"batonloop.{entry.name}"
        if entry.name.startswith("_") or entry.name in INTERNAL:
            continue
        try:
            names = public(getattr(importlib.import_module(module), "__all__", ()))
        except ModuleNotFoundError as error:
            # One for newer Pythons, or for a tool that is not here.
            if (error.name or "").startswith("batonloop"):
                raise
            continue
        if names:
            found[module] = names
    return found


def public(names: Sequence[str]) -> list[str]:
    """Without those that begin with an underscore."""
    return [name for name in names if not name.startswith("_")]


def value_of(module: str, name: str) -> object:
    """What a name of a module stands for."""
    return getattr(importlib.import_module(module), name)


def asyncio_module(module: str) -> ModuleType | None:
    """asyncio's module of the same name, if there is one."""
    name = module.replace("batonloop", "asyncio", 1)
    return importlib.import_module(name) if importlib.util.find_spec(name) else None


def twin(module: str, name: str) -> object:
    """What asyncio has under that name; for a loop it is the class that describes all loops."""
    theirs = getattr(asyncio_module(module), name, None) or getattr(asyncio, name, None)
    is_loop = "EventLoop" in name and "Policy" not in name
    return asyncio.AbstractEventLoop if is_loop and inspect.isclass(theirs or type) else theirs


def is_ours(module: str, name: str) -> bool:
    """Whether it is not the very object that asyncio has."""
    value = value_of(module, name)
    theirs = (getattr(asyncio_module(module), name, None), getattr(asyncio, name, None))
    return not any(value is one for one in theirs)


def module_of(value: object) -> str:
    """Where it says that it is at home."""
    return getattr(value, "__module__", None) or ""


def members(cls: type) -> dict[str, tuple[type, object]]:
    """The public attributes of a class, each with the class that has it first."""
    found: dict[str, tuple[type, object]] = {}
    for base in cls.__mro__:
        # What a loop has from the abstract one it does not have: that one only declares it.
        if base not in (object, asyncio.AbstractEventLoop):
            for name, value in vars(base).items():
                if not name.startswith("_"):
                    found.setdefault(name, (base, value))
    return found


def document(value: object, model: object) -> str:
    """The docstring, or else that of what asyncio has in its place; nothing for mere values."""
    for one in (value, model):
        text = inspect.getdoc(one) if one is not None else None
        if text and (callable(one) or inspect.isdatadescriptor(one)):
            return text.removeprefix(told(text)).lstrip()
    return ""


def told(text: str) -> str:
    """The signature that a docstring may begin with, where it has no other place."""
    found = re.match(r"\w+(\(.*\))\n\n", text)
    return found[0] if found else ""


def summary(text: str) -> str:
    """The first sentence of a docstring."""
    first = " ".join(text.split("\n\n")[0].split())
    return re.split(r"(?<=[.;:])\s", first)[0].rstrip(";:")


def heading(
    fence: str, full: str, value: object, model: object, *, in_class: bool = False
) -> Iterator[str]:
    """The lines that begin the description of a name."""
    signature, options = "", []
    if inspect.isclass(value):
        kind = "exception" if issubclass(value, BaseException) else "class"
        signature = "" if kind == "exception" else arguments(value, model)
    elif callable(value) or isinstance(value, (staticmethod, classmethod)):
        kind = "method" if in_class else "function"
        signature = arguments(value, model)
        options += [":async:"] * any(map(inspect.iscoroutinefunction, (value, model)))
        options += [":classmethod:"] * isinstance(value, classmethod)
        options += [":staticmethod:"] * isinstance(value, staticmethod)
    else:
        kind = "attribute" if in_class else "data"
    yield from (f"{fence}{{py:{kind}}} {full}{signature}", *options, "")


def arguments(value: object, model: object) -> str:
    """The arguments between parentheses, without types; nothing where nobody tells them."""
    for one in (value, model):
        try:
            signature = inspect.signature(one)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            continue
        parameters = [
            parameter.replace(annotation=parameter.empty, default=shown_default(parameter.default))
            for parameter in signature.parameters.values()
        ]
        if parameters and parameters[0].name in ("self", "cls", "$self"):
            del parameters[0]
        plain = str(inspect.Signature(parameters))
        if plain != "(*args, **kwargs)":
            return plain
    text = told(inspect.getdoc(value) or "").strip()
    return text[text.index("(") :] if text else ""


class Shown:
    """A default value, in the words of a signature."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def shown_default(value: object) -> object:
    """The default of a parameter; three dots for what has no words of its own."""
    if value is inspect.Parameter.empty or not repr(value).startswith("<"):
        return value
    return Shown("...")


def escaped(text: str) -> str:
    """Text that shall mean nothing to Markdown."""
    return re.sub(r"([\\*_<>\[\]{}#$|~`])", r"\\\1", text)


def address(name: str) -> str:
    """Where asyncio's documentation describes a name; its first page for what it leaves out."""
    chapter = CHAPTER_OF.get(name)
    if chapter is None:
        return f"{LIBRARY}/asyncio.html"
    return f"{LIBRARY}/asyncio-{chapter}.html#asyncio.{name}"


def loop_address(name: str) -> str:
    """The same for a method of a loop."""
    return f"{LIBRARY}/asyncio-eventloop.html#asyncio.loop.{name}"


if __name__ == "__main__":
    main()
