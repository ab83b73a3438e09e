"""clang-format says that C++ is formatted; shell scripts and Python parse (and shellcheck, where it is there, is content)."""

import os
import re
import shutil
import subprocess

from tree import Finding


def check(tree):
    yield from _cpp(tree)
    scripts = [p for p in tree.files if _shebang(tree, p, "bash", "sh")]
    for path in scripts:
        done = subprocess.run(["bash", "-n", os.path.join(tree.root, path)], capture_output=True, text=True)
        if done.returncode:
            yield Finding(path, 1, "does not parse: " + done.stderr.strip().splitlines()[0])
    if scripts and shutil.which("shellcheck"):
        command = ["shellcheck", "-x", "-P", "SCRIPTDIR", "-S", "warning", "-e", "SC2034", "-f", "gcc", *scripts]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tree.root)
        for line in done.stdout.splitlines():
            match = re.match(r"([^:]+):(\d+):\d+: (.*)", line)
            if match:
                yield Finding(match.group(1), int(match.group(2)), match.group(3))
    for path in tree.files:
        if path.endswith(".py") or _shebang(tree, path, "python3"):
            try:
                compile(tree.text(path), path, "exec")
            except SyntaxError as error:
                yield Finding(path, error.lineno or 1, f"does not parse: {error.msg}")


def _shebang(tree, path, *names):
    if path.endswith((".cpp", ".hpp", ".md", ".json", ".txt", ".py")):
        return path.endswith(".py") and "python3" in names
    with open(os.path.join(tree.root, path), "rb") as file:
        first = file.readline(80).decode("latin-1")
    return re.match(r"#!\s*\S*/(?:env )?(" + "|".join(names) + r")\b", first) is not None


def _cpp(tree):
    program = shutil.which("clang-format-14") or shutil.which("clang-format")
    files = tree.cpp()
    if not files:
        return
    if not program:
        yield Finding(".clang-format", 1, "clang-format is not installed (tools/install-deps.sh)")
        return
    done = subprocess.run([program, "--dry-run", *files], capture_output=True, text=True, cwd=tree.root)
    seen = set()
    for line in done.stderr.splitlines():
        match = re.match(r"([^:\s][^:]*):(\d+):\d+: (?:warning|error): .*clang-format", line)
        if match and match.group(1) not in seen:      # one line a file: the cure is one command anyway
            seen.add(match.group(1))
            yield Finding(match.group(1), int(match.group(2)), f"not formatted: {os.path.basename(program)} -i {match.group(1)}")
