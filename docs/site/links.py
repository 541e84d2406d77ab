"""Finds links that lead nowhere, in the pages of a site as they lie on disk.

    python docs/site/links.py DIRECTORY [--except PART]... [--absent PART]...

What a page links to, shows or loads must be a file below the directory, and what stands behind
a "#" an anchor in that page. Links to other sites are not followed. Pages below a part that is
excepted are somebody else's and not read, but links to them must be good.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """The links and the anchors of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[tuple[int, str]] = []
        self.anchors: set[str] = set()
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what the tag leads to, and what leads to it."""
        for name, value in attrs:
            if value is None:
                continue
            if name == "id" or (name == "name" and tag == "a"):
                self.anchors.add(value)
            elif name in ("href", "src", "poster", "data"):
                self.links.append((self.getpos()[0], value))


class Site:
    """All files below a directory; pages are read once."""

    def __init__(self, root: Path, absent: Sequence[str] = ()) -> None:
        self.root = root.resolve()
        self.absent = [self.root / part for part in absent]
        self.pages: dict[Path, Page] = {}

    def page(self, file: Path) -> Page:
        """A page of the site."""
        if file not in self.pages:
            self.pages[file] = Page(file.read_text(encoding="utf-8"))
        return self.pages[file]

    def dead_links(self, excepted: Sequence[str]) -> Iterator[str]:
        """A line for each: the page, where in it, the link, and what is wrong with it."""
        for file in sorted(self.root.rglob("*.html")):
            name = file.relative_to(self.root)
            if name.parts[0] in excepted:
                continue
            for line, link in self.page(file).links:
                wrong = self.fault(file, link)
                if wrong:
                    yield f"{name}:{line}: {link}: {wrong}"

    def fault(self, file: Path, link: str) -> str | None:
        """What is wrong with a link on a page; None if it is good, or leads to another site."""
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            # Nothing may hang on where the site lies, and a file of this machine is nobody else's.
            return "leads into this machine" if parts.scheme == "file" else None
        if parts.path.startswith("/"):
            return "does not begin at the page"
        target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
        if not target.is_relative_to(self.root):
            return "leads out of the site"
        if any(target.is_relative_to(part) for part in self.absent):
            return None
        if target.is_dir():
            target /= "index.html"
        if not target.is_file():
            return "there is no such file"
        anchor = unquote(parts.fragment)
        if anchor and target.suffix == ".html" and anchor not in self.page(target).anchors:
            return "there is no such anchor"
        return None


def main() -> int:
    """Print every dead link; the exit status tells whether there is one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--except", dest="excepted", action="append", default=[], metavar="PART")
    parser.add_argument("--absent", action="append", default=[], metavar="PART")
    options = parser.parse_args()
    site = Site(options.directory, options.absent)
    dead = list(site.dead_links(options.excepted))
    print("\n".join(dead) or f"no dead link in {len(site.pages)} pages")
    # A site without pages is no site.
    return 1 if dead or not site.pages else 0


if __name__ == "__main__":
    sys.exit(main())
