"""A link that leads nowhere is noticed, and no other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SITE = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(SITE))

import links  # noqa: E402


@pytest.fixture
def site(tmp_path):
    """Writes pages, and returns what is said of them."""

    def dead_links(pages: dict[str, str], *excepted: str, absent: str = "") -> list[str]:
        for name, text in pages.items():
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return list(links.Site(tmp_path, absent.split()).dead_links(list(excepted)))

    return dead_links


def test_good_links_are_good(site):
    one = (
        '<a href="two.html">file</a> <a href="two.html#b">anchor</a> <a href="#a">here</a> '
        '<a id="a" href="sub/">directory</a> <img src="sub/a%20picture.svg"> <a href="#">top</a> '
        '<a href="https://nobody.invalid/#x">another site</a> <a href="mailto:a@b.invalid">m</a>'
    )
    two = '<h1 id="b">two</h1><a name="old" href="one.html">back</a>'
    pages = {"one.html": one, "two.html": two, "sub/index.html": '<a href="../one.html#a">up</a>'}
    assert site({**pages, "sub/a picture.svg": "<svg/>"}) == []


@pytest.mark.parametrize(
    ("link", "fault"),
    [
        ("none.html", "there is no such file"),
        ("one.html#none", "there is no such anchor"),
        ("#none", "there is no such anchor"),
        ("sub/", "there is no such file"),
        ("../outside.html", "leads out of the site"),
        ("/one.html", "does not begin at the page"),
        ("file:///etc/hosts", "leads into this machine"),
    ],
)
@pytest.mark.parametrize("tag", ['<a href="{}">', '<img src="{}">', '<script src="{}"></script>'])
def test_a_dead_link_is_noticed(site, tmp_path, tag, link, fault):
    (tmp_path / "sub").mkdir()
    assert site({"one.html": f"<p>\n{tag.format(link)}"}) == [f"one.html:2: {link}: {fault}"]


def test_an_anchor_that_is_only_shown_is_none(site):
    page = '<a href="#a">a</a> <code>&lt;p id="a"&gt;</code> <!-- <p id="a"> -->'
    assert site({"one.html": page}) == ["one.html:1: #a: there is no such anchor"]


def test_of_what_is_somebody_elses_only_the_links_to_it_are_looked_at(site):
    theirs = {"theirs/index.html": '<a href="none.html" id="x">'}
    assert site({"one.html": '<a href="theirs/index.html#x">', **theirs}, "theirs") == []
    dead = site({"one.html": '<a href="theirs/none.html">'}, "theirs")
    assert dead == ["one.html:1: theirs/none.html: there is no such file"]


def test_links_to_a_part_that_is_not_there_are_not_followed(site):
    pages = {"one.html": '<a href="later/one.html#x"><a href="latent.html">'}
    assert site(pages, absent="later") == ["one.html:1: latent.html: there is no such file"]


def run(directory: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SITE / "links.py"), str(directory)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_exit_status_tells(tmp_path):
    assert run(tmp_path).returncode == 1, "a site without pages is no site"
    (tmp_path / "one.html").write_text('<a href="#a" id="a">')
    good = run(tmp_path)
    assert (good.returncode, good.stdout) == (0, "no dead link in 1 pages\n")
    (tmp_path / "one.html").write_text('<a href="two.html">')
    bad = run(tmp_path)
    assert (bad.returncode, bad.stdout) == (1, "one.html:1: two.html: there is no such file\n")
