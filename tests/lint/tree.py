"""What every lint needs: the project's files, C++ text without comments and literals, and findings."""

import os
import re
import subprocess
from typing import NamedTuple

CPP = (".cpp", ".hpp", ".c", ".h")


class Finding(NamedTuple):
    path: str
    line: int
    message: str

    def __str__(self):
        return f"{self.path}:{self.line}: {self.message}"


class Tree:
    """The files of a source tree that git would keep, and their text. Paths are relative, with forward slashes."""

    def __init__(self, root):
        self.root = root
        self._texts = {}
        self._blank = {}
        self.files = sorted(p for p in self._list() if os.path.isfile(os.path.join(root, p)))

    def _list(self):
        if os.path.exists(os.path.join(self.root, ".git")):
            command = ["git", "-C", self.root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
            return {p for p in subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\0") if p}
        found = set()
        for folder, names, files in os.walk(self.root):
            names[:] = [n for n in names if n not in ("build", "__pycache__") and not n.startswith(".git")]
            found |= {os.path.relpath(os.path.join(folder, f), self.root) for f in files}
        return found

    def cpp(self, *folders):
        return [p for p in self.files if p.endswith(CPP) and (not folders or p.startswith(tuple(f + "/" for f in folders)))]

    def text(self, path):
        if path not in self._texts:
            with open(os.path.join(self.root, path), encoding="utf-8", errors="replace") as file:
                self._texts[path] = file.read()
        return self._texts[path]

    def code(self, path):
        """The text with comments and the insides of literals blanked out; every character keeps its place."""
        if path not in self._blank:
            self._blank[path] = blank(self.text(path))
        return self._blank[path]


_SKIP = re.compile(
    r'//[^\n]*(?:\\\n[^\n]*)*'                                    # line comment
    r'|/\*.*?\*/'                                                 # block comment
    r'|R"(?P<mark>[^()\\\s]{0,16})\(.*?\)(?P=mark)"'              # raw string
    r'|"(?:[^"\\\n]|\\.)*"'                                       # string
    r"|(?<![0-9a-fA-F])'(?:[^'\\\n]|\\.)+'",                      # character, not a digit separator
    re.S)


def blank(text):
    def hide(match):
        found = match.group(0)
        inside = re.sub(r"[^\n]", " ", found)
        if found[0] in "\"'R" and len(found) > 1:                 # keep the quotes: it is still an operand
            return '"' + inside[1:-1] + '"'
        return inside
    return _SKIP.sub(hide, text)


def line_of(text, position):
    return text.count("\n", 0, position) + 1


def matching_close(code, position):
    """The position of the bracket that closes the one at `position`, or the end of the text."""
    depth = 0
    for index in range(position, len(code)):
        if code[index] in "([{":
            depth += 1
        elif code[index] in ")]}":
            depth -= 1
            if depth == 0:
                return index
    return len(code)


def known_exceptions(tree, path):
    """Lines `file: reason` or `file#function: reason` of a list of exceptions; each needs its reason."""
    known = {}
    if path in tree.files:
        for line in tree.text(path).splitlines():
            if line.strip() and not line.startswith("#"):
                name, _, reason = line.partition(": ")
                known[name.strip()] = reason.strip()
    return known
