"""The lists of tests that apply, and the list of what is left out of them.

A list names one test a line, as `module.Class.test` inside the package test.test_asyncio.
The left-out file holds rules; each has a pattern, optional conditions and a reason:

    test_streams.StreamTests.test_open_*  @3.12 full  # needs a transport

`@X.Y` limits the rule to that Python, a word to a mode (loop, full, stock) or a layout (own).
A rule that starts with `!` is for tests that must not even be started; all others are run,
so that a test which passes again is noticed and its rule can go.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent / "cpython"
LEFT_OUT = HERE / "left-out.txt"
WORDS = ("loop", "full", "stock", "own")


@dataclass(frozen=True)
class Rule:
    """One line of the left-out file."""

    pattern: str
    versions: frozenset[str]
    words: frozenset[str]
    reason: str
    never: bool
    line: int

    def matches(self, test: str) -> bool:
        """Whether the pattern covers this test, whatever the conditions."""
        return fnmatch.fnmatchcase(test, self.pattern)

    def applies(self, version: str, mode: str, layout: str) -> bool:
        """Whether the conditions hold in this run.

        A rule speaks of stock asyncio only when it says so.
        """
        if self.versions and version not in self.versions:
            return False
        modes = self.words - {"own"}
        if mode == "stock" or modes:
            if mode not in modes:
                return False
        return "own" not in self.words or layout == "own"


def parse_rules(text: str) -> list[Rule]:
    """The rules of a left-out file; a line without a reason is an error."""
    rules = []
    for number, line in enumerate(text.splitlines(), 1):
        head, hash_, reason = line.partition("#")
        fields = head.split()
        if not fields:
            continue
        if not hash_ or not reason.strip():
            raise ValueError(f"left-out.txt:{number}: a rule needs a reason after '#'")
        never = fields[0] == "!"
        if never:
            fields = fields[1:]
        pattern, *conditions = fields
        versions = frozenset(c[1:] for c in conditions if c.startswith("@"))
        words = frozenset(c for c in conditions if not c.startswith("@"))
        if unknown := words.difference(WORDS):
            raise ValueError(f"left-out.txt:{number}: unknown condition {sorted(unknown)}")
        rules.append(Rule(pattern, versions, words, reason.strip(), never, number))
    return rules


def read_rules(path: Path = LEFT_OUT) -> list[Rule]:
    """The rules of the project's own left-out file."""
    return parse_rules(path.read_text(encoding="utf-8"))


def parse_tests(text: str) -> list[str]:
    """The tests of one list."""
    bare = (line.partition("#")[0].strip() for line in text.splitlines())
    return [test for test in bare if test]


def read_tests(mode: str, version: str) -> list[str]:
    """The tests that apply to a mode on a Python; stock runs every test of any list."""
    modes = ("loop", "full") if mode == "stock" else (mode,)
    tests: dict[str, None] = {}
    for one in modes:
        path = HERE / "lists" / f"{one}-{version}.txt"
        if not path.exists():
            raise FileNotFoundError(f"there is no list {path.name}: make it with make_list.py")
        tests.update(dict.fromkeys(parse_tests(path.read_text(encoding="utf-8"))))
    return list(tests)


def every_listed_test() -> set[str]:
    """All tests that any list of any Python names."""
    found: set[str] = set()
    for path in sorted((HERE / "lists").glob("*.txt")):
        found.update(parse_tests(path.read_text(encoding="utf-8")))
    return found


def idle_rules(rules: Iterable[Rule]) -> list[Rule]:
    """Rules that no listed test needs any more."""
    tests = every_listed_test()
    return [rule for rule in rules if not any(rule.matches(test) for test in tests)]
