#!/usr/bin/env bash
# install.sh X.Y NAME: installs requirements/NAME.txt in .venv/X.Y.
. "$(dirname "$0")/lib.sh"

python=".venv/$1/bin/python"
step "tools to $2, for Python $1" \
    "$python" -m pip install --no-deps --requirement "requirements/$2.txt"
touch ".venv/$1/have-$2"
