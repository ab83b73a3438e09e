#!/usr/bin/env python3
"""lint.py [--root DIR] [--except PATH_PREFIX]... CHECK...: runs lints on the tree; exit 1 when one finds something.

Checks: includes coroutines sizes spec language style. `lint.py all` runs every one."""

import argparse
import importlib
import os
import sys

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from tree import Tree  # noqa: E402

CHECKS = ["includes", "coroutines", "sizes", "spec", "language", "style"]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", default=os.path.dirname(os.path.dirname(HERE)))
    parser.add_argument("--except", dest="skip", action="append", default=[], metavar="PATH_PREFIX")
    parser.add_argument("checks", nargs="+", choices=CHECKS + ["all"])
    arguments = parser.parse_args()
    tree = Tree(arguments.root)
    count = 0
    for name in CHECKS if "all" in arguments.checks else arguments.checks:
        for finding in importlib.import_module(name).check(tree):
            if not finding.path.startswith(tuple(arguments.skip)) or not arguments.skip:
                print(finding)
                count += 1
    print(f"{count} findings in {len(tree.files)} files" if count else f"{', '.join(arguments.checks)}: clean, {len(tree.files)} files")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
