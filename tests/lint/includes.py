"""Who may include whom (docs/ARCHITECTURE.md, "Rooms"), and that headers are named by their path from the top."""

import os
import re

from tree import Finding, line_of

ROOMS = {
    "base": {"base"},
    "protocol": {"base", "protocol"},
    "layers": {"base", "layers"},
    "registry": {"base", "registry"},
    "server": {"base", "protocol", "layers", "registry", "server"},
    "tools": {"base", "layers", "registry", "tools"},
    "tests": {"base", "protocol", "layers", "registry", "server", "tools", "tests"},
}

# Folders with a stricter rule than their room: (folder, what may not be included, why).
STRICTER = [
    ("protocol/", r'"base/json/|<rapidjson', "protocol knows no JSON"),
    ("protocol/iscsi/", r'"protocol/net/|<boost/asio|<spdlog|"base/worker_pool|<thread>|<mutex>|<fstream>|<filesystem>|<coroutine>',
     "the iSCSI engine is pure: no I/O, threads, logging or coroutines"),
    ("protocol/scsi/", r'"protocol/(net|iscsi)/|<boost/asio|<spdlog|"base/worker_pool|<thread>|<fstream>|<filesystem>|<coroutine>',
     "the SCSI engine is pure and knows no transport"),
    ("layers/", r"<boost/beast|<curl|<boost/asio/ip/|<sys/socket", "layers know no sockets"),
    ("registry/", r"<lz4|<zstd", "the registry client does not look into layers"),
]

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)[">]', re.M)
# The only headers outside the tree that may be quoted-included: none.


def check(tree):
    for path in tree.cpp():
        text = tree.text(path)
        room = path.split("/")[0]
        for match in INCLUDE.finditer(text):
            line, quote, name = line_of(text, match.start()), match.group(1), match.group(2)
            whole = quote + name
            if quote == '"':
                yield from _own_header(tree, path, room, line, name)
            for folder, pattern, why in STRICTER:
                if path.startswith(folder) and re.match(pattern, whole):
                    yield Finding(path, line, f"{folder} must not include {name}: {why}")
        if path.endswith(".hpp") and "#pragma once" not in text:
            yield Finding(path, 1, "a header without #pragma once")


def _own_header(tree, path, room, line, name):
    if room not in ROOMS:
        return
    target = name.split("/")[0]
    if "/" not in name or name.startswith("."):
        yield Finding(path, line, f'"{name}" is not a path from the top of the tree')
    elif target not in ROOMS:
        yield Finding(path, line, f'"{name}" is in no room; system headers take <>')
    elif target not in ROOMS[room]:
        yield Finding(path, line, f"{room}/ must not include {target}/")
    elif not os.path.exists(os.path.join(tree.root, name)):
        yield Finding(path, line, f'"{name}" does not exist')
