"""A rule quoted from a standard above the code, `// RFC 7143 §4.2.2.1: "…"`, is proved by a test with the tag
[rfc7143-4.2.2.1], and a test's tag names a clause that some code quotes or at least mentions. Lists the orphans of both
kinds."""

import re

from tree import Finding, line_of

QUOTE = re.compile(r'//[/!]?\s*(?P<standard>RFC \d+|SPC-\d|SBC-\d|SAM-\d)\s*§\s*(?P<clause>\d+(?:\.\d+)*)[^"“\n]{0,40}:\s*["“]')
MENTION = re.compile(r"(?P<standard>RFC \d+|SPC-\d|SBC-\d|SAM-\d)\s*§?\s*(?P<clause>\d+(?:\.\d+)*)")
TAG = re.compile(r"\[(?P<tag>(?:rfc\d+|spc\d|sbc\d|sam\d)-\d+(?:\.\d+)*)\]")


def tag_of(standard, clause):
    return standard.lower().replace(" ", "").replace("-", "") + "-" + clause


def check(tree):
    quotes, tags, mentioned = {}, {}, set()
    for path in tree.cpp():
        text = tree.text(path)
        if path.startswith("tests/"):
            for match in TAG.finditer(text):
                tags.setdefault(match.group("tag"), (path, line_of(text, match.start())))
        else:
            for match in QUOTE.finditer(text):
                tag = tag_of(match.group("standard"), match.group("clause"))
                quotes.setdefault(tag, (path, line_of(text, match.start())))
            mentioned |= {tag_of(m.group("standard"), m.group("clause")) for m in MENTION.finditer(text)}
    for tag in sorted(set(quotes) - set(tags)):
        yield Finding(*quotes[tag], f"a quoted rule that no test carries: tag one [{tag}]")
    for tag in sorted(set(tags) - mentioned):
        yield Finding(*tags[tag], f"tag [{tag}] names a clause that no code mentions")
