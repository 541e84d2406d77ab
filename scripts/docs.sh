#!/usr/bin/env bash
# docs.sh X.Y [pages]: makes the site: the documents, the reference of the Python package, and the
# crates' documentation, which `pages` leaves out, for it takes longest. Nothing is fetched for it;
# the tools are in .venv/X.Y already. A link that leads nowhere is an error.
. "$(dirname "$0")/lib.sh"

python="$PWD/.venv/$1/bin/python"
work="$TARGET/site"
source="$work/source"
html="$work/html"

# Sphinx wants everything in one tree. What the documents lead to comes along.
gather() {
    rm -rf "$source" && mkdir -p "$source"/{bench,conformance} &&
        cp -r ./*.md LICENSE-* docs examples "$source" &&
        cp bench/README.md "$source/bench" && cp conformance/README.md "$source/conformance" &&
        mv "$source"/docs/site/{index,crates}.md "$source" &&
        "$python" docs/site/reference.py "$source/reference"
}

write_pages() {
    rm -rf "$html"
    "$python" -m sphinx -q -W --keep-going -c docs/site -d "$work/doctrees" "$source" "$html"
}

write_crates() {
    PYO3_PYTHON="$python" RUSTDOCFLAGS="-D warnings" \
        cargo doc --locked --workspace --no-deps && cp -r "$TARGET/doc" "$html/crates"
}

crates=(--except crates)
step "pages of the Python package" gather
step "pages of the documents" write_pages
if [ "${2:-all}" = pages ]; then
    crates=(--absent crates)
else
    step "pages of the crates" write_crates
fi
step "links of all pages" "$python" docs/site/links.py "$html" "${crates[@]}"
echo "$html/index.html"
