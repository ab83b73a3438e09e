"""Small promises of the text: notes for later carry an issue number, tests do not sleep, nothing names one machine's
folders."""

import re

from tree import Finding, line_of

LATER = re.compile(r"\b(TODO|FIXME|XXX)\b(?!\s*\(?\s*(?:#|issue )\d+)")
TEXT = (".cpp", ".hpp", ".c", ".h", ".py", ".sh", ".md", ".txt", ".json", ".cmake", ".service")
MACHINE = re.compile(r"(?<![\w.])/(?:work|home|root)/[\w.]+")
SLEEP = re.compile(r"\b(sleep_for|sleep_until|usleep|nanosleep|std::this_thread::sleep)\b")
LINTS = "tests/lint/"


def check(tree):
    for path in tree.files:
        if path.startswith(LINTS) or not (path.endswith(TEXT) or path in (".ci/run",)):
            continue
        text = tree.text(path)
        for match in LATER.finditer(text):
            yield Finding(path, line_of(text, match.start()), f"{match.group(1)} without an issue number")
        for match in MACHINE.finditer(text):
            yield Finding(path, line_of(text, match.start()), f"{match.group(0)} is a folder of one machine")
    for path in tree.cpp("tests/unit", "tests/conformance", "tests/golden"):
        code = tree.code(path)
        for match in SLEEP.finditer(code):
            yield Finding(path, line_of(code, match.start()), "a test must not sleep: wait for the event itself")
