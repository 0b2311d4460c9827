#!/usr/bin/env bash
# What: pytest 9.2.0 with pytest-xdist 3.8.0, six cases marked xdist_group, run by -n 2 --dist loadgroup.
# Guess: one worker runs them all, so that what they share is made once.
# Seen: both workers run some of them, without a word. xdist writes a group into an attribute of an item that pytest 9.2
#   no longer reads; with pytest 9.1.1 one worker runs them all.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat >"$folder/test_together.py" <<'PY'
import time

import pytest


@pytest.mark.xdist_group("together")
@pytest.mark.parametrize("case", range(6))
def test_case(case, worker_id):
    with open("workers.txt", "a") as file:
        print(worker_id, file=file)
    time.sleep(0.2)
PY

cd "$folder"
for version in 9.1.1 9.2.0; do
  python3 -m venv "venv-$version"
  "venv-$version/bin/python" -m pip install --quiet "pytest==$version" pytest-xdist==3.8.0
  "venv-$version/bin/python" -m pytest -q -n 2 --dist loadgroup -p no:cacheprovider test_together.py >/dev/null
  sort -u workers.txt | wc -l >"count-$version"
  rm workers.txt
  echo "pytest $version: workers that ran the group: $(cat "count-$version")"
done

if [ "$(cat count-9.1.1)" -ne 1 ] || [ "$(cat count-9.2.0)" -ne 2 ]; then
  echo "The behaviour has changed." >&2
  exit 1
fi
