"""Print what pip would install, each release with the hashes of all files that may be it.

    python scripts/lock_hashed.py --pythons 3.12,3.13 pytest httptools   # wheels for each of these
    python scripts/lock_hashed.py --source uvicorn                       # its source, and no more

scripts/lock.sh makes the files of requirements/ of it that somebody else's tests are fetched by.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pythons", default="")
    parser.add_argument("--source", action="store_true")
    parser.add_argument("package", nargs="+")
    options = parser.parse_args()
    releases: dict[str, set[str]] = {}
    for version in options.pythons.split(","):
        for release, digest in ask(options, version):
            releases.setdefault(release, set()).add(digest)
    names = {release.partition("==")[0] for release in releases}
    if len(names) != len(releases):
        sys.exit(f"the Pythons want different releases: {sorted(releases)}")
    for release in sorted(releases, key=str.lower):
        hashes = [f"--hash=sha256:{digest}" for digest in sorted(releases[release])]
        print(" \\\n    ".join([release, *hashes]))


def ask(options: argparse.Namespace, version: str) -> list[tuple[str, str]]:
    """What pip would install in an empty place, and the hash of each file."""
    with tempfile.TemporaryDirectory() as nowhere:
        how = ["--only-binary", ":all:", "--python-version", version, "--target", nowhere]
        if options.source:
            how = ["--no-binary", ":all:", "--no-deps", "--target", nowhere]
        command = [
            sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
            "--dry-run", "--report", "-", *how, *options.package,
        ]  # fmt: skip
        plan = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return [
        (
            f"{each['metadata']['name']}=={each['metadata']['version']}",
            each["download_info"]["archive_info"]["hashes"]["sha256"],
        )
        for each in plan["install"]
    ]


if __name__ == "__main__":
    main()
