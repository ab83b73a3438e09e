"""A function fits a screen (70 lines), a file is one idea (500 lines). Exceptions: sizes-known.txt, each with a reason."""

import re

from tree import Finding, known_exceptions, line_of, matching_close

FUNCTION_LINES = 70
FILE_LINES = 500
KNOWN = "tests/lint/sizes-known.txt"


def check(tree, function_lines=FUNCTION_LINES, file_lines=FILE_LINES):
    known = known_exceptions(tree, KNOWN)
    used = set()
    for name, reason in known.items():
        if not reason:
            yield Finding(KNOWN, 1, f"{name} has no reason")
    for path in tree.files:
        if not path.endswith((".cpp", ".hpp", ".c", ".h", ".py", ".sh")):
            continue
        lines = tree.text(path).count("\n")
        if lines > file_lines:
            used.add(path)
            if path not in known:
                yield Finding(path, lines, f"{lines} lines; a file has at most {file_lines}: has a second idea moved in?")
        if path.endswith((".cpp", ".hpp", ".c", ".h")):
            for line, name, length in long_functions(tree.code(path), function_lines):
                used.add(f"{path}#{name}")
                if f"{path}#{name}" not in known:
                    yield Finding(path, line, f"{name} has {length} lines; a function has at most {function_lines}")
    for name in sorted(set(known) - used):
        yield Finding(KNOWN, 1, f"{name} is no exception any more: remove the line")


def long_functions(code, limit):
    """(line, name, lines) of each outermost function body longer than `limit`."""
    code = re.sub(r"^[ \t]*#[^\n]*(?:\\\n[^\n]*)*", lambda m: re.sub(r"[^\n]", " ", m.group(0)), code, flags=re.M)
    index, head_start = 0, 0
    while index < len(code):
        char = code[index]
        if char in ";}":
            head_start = index + 1
        elif char == "(":                                   # skip argument lists, default arguments included
            index = matching_close(code, index)
        elif char == "{":
            head = code[head_start:index]
            if not _transparent(head):
                end = matching_close(code, index)
                length = line_of(code, end) - line_of(code, index) + 1
                if length > limit and "(" in head and not re.search(r"=\s*$", head):
                    yield line_of(code, index), _name(head), length
                index = end
            head_start = index + 1
        index += 1


def _transparent(head):
    """Whether the block only groups declarations: a namespace, a class, extern "C"."""
    return re.search(r"\b(namespace|class|struct|union)\b", head) is not None and "(" not in re.sub(r"alignas\s*\([^)]*\)", "", head) \
        or re.search(r'\bextern\s*"', head) is not None


def _name(head):
    match = re.search(r"(~?[\w:]+|operator\s*\S+)\s*\(", head)
    return match.group(1) if match else "a function"
