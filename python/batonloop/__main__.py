"""`python -m batonloop prog.py`: install, then run the program as `python` itself would.

The program gets a `__main__` module, `sys.argv` and `sys.path[0]` as if it had been started
without us, and what it raises is shown without a frame of ours. Printing and exit status are left
to the interpreter.
"""

from __future__ import annotations

import builtins
import importlib.machinery
import io
import os
import pkgutil
import runpy
import sys
from types import CodeType, ModuleType, TracebackType

import batonloop
from batonloop import _batonloop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

_HELP = """\
usage: python -m batonloop [-h] [--version] [program | -m module | -c code | -] [arguments]

Runs an asyncio program, unchanged, on batonloop.

  program     a file, or a directory or zip archive with a __main__.py
  -m module   a module, searched for as python -m does
  -c code     a program given as text
  -           a program read from the standard input
  --version   show the versions, and what the event loop is built on
  -h, --help  show this text

All that follows goes to the program. Options for Python itself stand before -m batonloop:
python -X dev -m batonloop prog.py
"""

# The files whose frames stand between the interpreter and the program.
_LAUNCHER_FILES = {
    sys._getframe().f_code.co_filename,
    runpy.run_module.__code__.co_filename,
    "<frozen importlib._bootstrap>",
    "<frozen importlib._bootstrap_external>",
    "<frozen zipimport>",
}

# runpy finds modules and archives for python itself, with python's words for what goes wrong. What
# it is asked for here has no public name.
_runpy: Any = runpy


class _Program:
    """What to run, and the module to run it in."""

    def __init__(self, code: CodeType, module: ModuleType) -> None:
        self.code = code
        self.module = module


def launch(arguments: list[str]) -> None:
    """Run the program that the arguments name; raises what it raises."""
    try:
        program = _find_program(arguments)
        exec(program.code, vars(program.module))
    except SystemExit:
        raise
    except BaseException:
        _hide_launcher()
        raise


def _find_program(arguments: list[str]) -> _Program:
    option = arguments[0] if arguments else ""
    if option == "--":
        arguments = arguments[1:]
    elif option in ("-h", "--help"):
        print(_HELP, end="")
        raise SystemExit(0)
    elif option in ("-V", "--version"):
        print(_version())
        raise SystemExit(0)
    elif option[:2] in ("-m", "-c"):
        # As for python, the value may follow the letter at once.
        value = [option[2:]] if option[2:] else arguments[1:2]
        rest = arguments[1:] if option[2:] else arguments[2:]
        if not value:
            _refuse(f"option {option} needs a value: {'a module' if option == '-m' else 'code'}")
        batonloop.install()
        return (_find_module if option[1] == "m" else _read_text)(value[0], rest)
    elif option.startswith("-") and option != "-":
        _refuse(
            f"unknown option {option}; options of Python itself stand before -m batonloop, "
            "as in python -X dev -m batonloop prog.py"
        )
    if not arguments and sys.stdin is not None and sys.stdin.isatty():
        # Most likely somebody wonders what this is.
        _refuse("no program to run")
    batonloop.install()
    if not arguments or arguments[0] == "-":
        return _read_stdin(arguments or [""])
    return _find_file(arguments[0], arguments[1:])


def _refuse(message: str) -> NoReturn:
    print(f"batonloop: {message}\nTry python -m batonloop --help.", file=sys.stderr)
    raise SystemExit(2)


def _version() -> str:
    layouts = {
        "shared": "shared (Future and Task in the layout of asyncio's own)",
        "own": "own (Future and Task in a layout of their own)",
    }
    return (
        f"batonloop {batonloop.__version__}\n"
        f"Python:   {sys.version.split()[0]} ({sys.implementation.name})\n"
        f"selector: {_batonloop.SELECTOR}\n"
        f"layout:   {layouts.get(_batonloop.LAYOUT, _batonloop.LAYOUT)}"
    )


def _find_module(name: str, arguments: list[str]) -> _Program:
    # The program's packages may look at sys.argv when they are imported.
    sys.argv = ["-m", *arguments]
    try:
        _, spec, code = _runpy._get_module_details(name, _runpy._Error)
    except _runpy._Error as error:
        raise SystemExit(f"{sys.executable}: {error}") from None
    sys.argv[0] = spec.origin
    return _Program(code, _main_of_spec(spec))


def _find_file(path: str, arguments: list[str]) -> _Program:
    sys.argv = [path, *arguments]
    absolute = os.path.join(os.getcwd(), path)
    if pkgutil.get_importer(absolute) is not None:
        # A directory, or an archive: its __main__ is imported from there.
        _set_first_path(absolute, always=True)
        try:
            _, spec, code = _runpy._get_main_module_details(_runpy._Error)
        except _runpy._Error as error:
            raise SystemExit(f"{sys.executable}: {error}") from None
        return _Program(code, _main_of_spec(spec))
    _set_first_path(os.path.dirname(os.path.realpath(path)))
    try:
        code = _read_file(absolute)
    except OSError as error:
        print(
            f"{sys.orig_argv[0]}: can't open file {absolute!r}: "
            f"[Errno {error.errno}] {error.strerror}",
            file=sys.stderr,
        )
        raise SystemExit(2) from None
    is_compiled = absolute.endswith(".pyc")
    loader = (
        importlib.machinery.SourcelessFileLoader
        if is_compiled
        else importlib.machinery.SourceFileLoader
    )
    return _Program(code, _main(loader("__main__", absolute), absolute))


def _read_file(path: str) -> CodeType:
    with io.open_code(path) as file:
        code: CodeType | None = pkgutil.read_code(file)
    if code is not None:
        return code
    with io.open_code(path) as file:
        source = file.read()
    return compile(source, path, "exec", dont_inherit=True)


def _read_text(text: str, arguments: list[str]) -> _Program:
    sys.argv = ["-c", *arguments]
    _set_first_path("")
    if sys.version_info >= (3, 14):
        import textwrap

        text = textwrap.dedent(text)
    code = compile(text + "\n", "<string>", "exec", dont_inherit=True)
    _show_lines_of(code, text)
    return _Program(code, _main(importlib.machinery.BuiltinImporter))


def _read_stdin(arguments: list[str]) -> _Program:
    sys.argv = arguments
    _set_first_path("")
    source = sys.stdin.buffer.read()
    code = compile(source, "<stdin>", "exec", dont_inherit=True)
    return _Program(code, _main(importlib.machinery.BuiltinImporter, "<stdin>"))


def _show_lines_of(code: CodeType, text: str) -> None:
    """Let tracebacks show the lines of a program given as text, as they do from 3.13 on."""
    if sys.version_info >= (3, 13):
        import linecache

        register: Any = getattr(linecache, "_register_code", None)
        if register is not None:
            register(code if sys.version_info >= (3, 14) else "<string>", text, "<string>")


def _set_first_path(path: str, *, always: bool = False) -> None:
    """Put a path where python has put the current directory for the sake of -m batonloop."""
    if not sys.flags.safe_path:
        sys.path[0] = path
    elif always:
        sys.path.insert(0, path)


def _main_of_spec(spec: importlib.machinery.ModuleSpec) -> ModuleType:
    main = _main(spec.loader, spec.origin)
    main.__spec__ = spec
    main.__package__ = spec.parent
    if sys.version_info < (3, 15):
        main.__cached__ = spec.cached  # type: ignore[attr-defined]
    return main


def _main(loader: Any, file: str | None = None) -> ModuleType:
    """A new module `__main__`, with what python gives one, in the place of this module."""
    main = ModuleType("__main__")
    main.__loader__ = loader
    namespace = vars(main)
    if sys.version_info < (3, 14):
        namespace["__annotations__"] = {}
    namespace["__builtins__"] = builtins
    if file is not None:
        namespace["__file__"] = file
        if sys.version_info < (3, 15):
            namespace["__cached__"] = None
    sys.modules["__main__"] = main
    return main


def _hide_launcher() -> None:
    """Let the interpreter show the exception it will soon meet without the launcher's frames."""
    # It is left to the interpreter because only it can end a program as it ends any other: by
    # SIGINT after a KeyboardInterrupt, for one.
    hook = getattr(sys, "excepthook", None)
    if not callable(hook):
        return

    def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        while trace is not None and trace.tb_frame.f_code.co_filename in _LAUNCHER_FILES:
            trace = trace.tb_next
        sys.last_traceback = trace
        hook(kind, error.with_traceback(trace), trace)

    sys.excepthook = show


if __name__ == "__main__":
    launch(sys.argv[1:])
