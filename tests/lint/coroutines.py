"""The shapes of co_await that g++ 12.2 compiles right (docs/HACKING.md, "Coroutines"), and no detached tasks.

co_await stands alone, after co_return, or as the whole initialiser of a named local (CO_TRY makes one). Awaited calls
get no braced list, aggregate or capturing lambda as a temporary. Reproduced miscompilations are behind each rule.
"""

import re

from tree import Finding, line_of, matching_close

AWAIT = re.compile(r"\bco_await\b")
# What may stand before the statement proper: `if (…)`, `else`, `case x:`, a label, an attribute.
LEAD = re.compile(r"\s*(?:else\b|(?:if|for|while)\s*(?:constexpr\s*)?(?=\()|(?:case\b[^:?]*(?:::[^:?]*)*|default\s*):(?!:)|\[\[[^\]]*\]\])")
# `const auto name =`, `result<x> name =`, `auto [a, b] =`
LOCAL = re.compile(r"\s*(?:(?:const|static|constexpr)\s+)*[A-Za-z_][\w:]*(?:\s*<.*>)?(?:\s*(?:const\b|[&*]))*\s*"
                   r"(?:(?<=[\s&*>])[A-Za-z_]\w*|\[[\w\s,]+\])\s*=\s*$", re.S)
CAPTURING = re.compile(r"\[[^\[\]]*[\w&=][^\[\]]*\]\s*(?:\([^()]*\)|\{)")
LAMBDA_COROUTINE = re.compile(r"\[(?P<capture>[^\[\]]+)\]\s*\([^()]*\)\s*(?:mutable\s*)?(?:noexcept\s*)?->\s*(?:\w+::)*awaitable\b")


def check(tree):
    for path in tree.cpp():
        code = tree.code(path)
        for match in re.finditer(r"\basio::detached\b|,\s*detached\s*\)", code):
            yield Finding(path, line_of(code, match.start()), "asio::detached loses errors and lifetimes: give co_spawn a handler")
        if not path.startswith("tests/"):
            for match in LAMBDA_COROUTINE.finditer(code):
                yield Finding(path, line_of(code, match.start()), "a capturing lambda must not be a coroutine: its captures die with the lambda")
        for match in AWAIT.finditer(code):
            problem = _shape(code, match.start()) or _operand(code, match.end())
            if problem:
                yield Finding(path, line_of(code, match.start()), problem)


def _statement_start(code, position):
    """Where the statement with `position` begins, and the bracket that encloses it if that is no block."""
    depth, index = 0, position - 1
    while index >= 0:
        char = code[index]
        if char in ")]":
            depth += 1
        elif char in "([":
            if depth == 0:
                return index + 1, char
            depth -= 1
        elif char in "{};" and depth == 0:
            return index + 1, _block_or_list(code, index)
        index -= 1
    return 0, ""


def _block_or_list(code, index):
    """`{` when a brace opens an initialiser list rather than a block."""
    if code[index] != "{":
        return ""
    before = code[:index].rstrip()
    is_block = not before or before[-1] in ");{}>:" or re.search(r"\b(else|do|try|mutable|noexcept|const|override|final)$", before) \
        or re.search(r"->\s*[\w:<>,\s&*]+$", before)
    return "" if is_block else "{"


def _shape(code, position):
    start, bracket = _statement_start(code, position)
    before = code[start:position]
    if bracket == "(":
        head = code[:start - 1].rstrip()
        word = re.search(r"(\w+)$", head)
        name = word.group(1) if word else ""
        if name == "CO_TRYV" and not before.strip():
            return None
        if name == "CO_TRY" and before.rstrip().endswith(","):
            return None
        if name in ("if", "while", "switch", "for"):
            return f"co_await inside {name} (…): name its result first"
        return f"co_await inside the arguments of {name or 'an expression'}: name its result first"
    if bracket in ("[", "{") and bracket:
        return "co_await inside an initialiser list or index: name its result first"
    while True:
        lead = LEAD.match(before)
        if not lead or not lead.group(0).strip():
            break
        before = before[lead.end():]
        if before.lstrip().startswith("("):
            offset = before.index("(")
            before = before[matching_close(before, offset) + 1:]
    before = before.strip()
    if before in ("", "co_return", "(void)", "static_cast<void>"):
        return None
    if "?" in before:
        return "co_await in a conditional expression: use if and a named local"
    if LOCAL.match(before):
        return None
    return "co_await is neither alone, nor after co_return, nor the whole initialiser of a named local"


def _operand(code, position):
    """What is awaited: up to the end of the statement or the closing bracket of CO_TRY."""
    depth, index = 0, position
    top = []
    while index < len(code):
        char = code[index]
        if char in "([{":
            if depth == 0 and char == "{":
                return "a braced temporary in an awaited expression: name it, then pass it"
            depth += 1
        elif char in ")]}":
            if depth == 0:
                break
            depth -= 1
        elif char == ";" and depth == 0:
            break
        if depth == 0:
            top.append(char)
        index += 1
    whole, level = code[position:index], "".join(top)
    if "?" in level:
        return "a conditional expression on an awaited value: name the value first"
    if re.search(r"&&|\|\||==|!=|(?<![-<])>(?!>)=|<=", re.sub(r"<[^<>;]*>", "", level)):
        return "an operator on an awaited value: name the value first"
    if CAPTURING.search(whole):
        return "a capturing lambda as a temporary in an awaited call: name it, then std::move it"
    bare = re.sub(r"\[\]\s*(?:\([^()]*\))?[^{;]*\{", "(", whole)      # captureless lambdas are fine
    if "{" in bare:
        return "a braced or aggregate temporary in an awaited call: name it, then pass it"
    return None
