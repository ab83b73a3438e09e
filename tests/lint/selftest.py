#!/usr/bin/env python3
"""Each lint finds what it is for, and nothing in code that is right. A line that must be found ends with `// BAD`."""

import os
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import coroutines, includes, language, sizes, spec, style  # noqa: E401,E402
from tree import Tree, blank  # noqa: E402


class LintTest(unittest.TestCase):
    def tree(self, files):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        for path, text in files.items():
            os.makedirs(os.path.dirname(os.path.join(folder.name, path)) or folder.name, exist_ok=True)
            with open(os.path.join(folder.name, path), "w", encoding="utf-8") as file:
                file.write(text)
        return Tree(folder.name)

    def finds(self, lint, files, **options):
        """The findings are exactly the lines marked BAD."""
        expected = sorted((path, number) for path, text in files.items()
                          for number, line in enumerate(text.splitlines(), 1) if line.rstrip().endswith("BAD"))
        found = sorted({(f.path, f.line) for f in lint.check(self.tree(files), **options)})
        self.assertEqual(found, expected)


class Blank(LintTest):
    def test_keeps_places_and_hides_comments_and_literals(self):
        text = 'a("co_await", \'"\', 1\'000); // co_await\n/* x\n y */ b(R"(co_await)");'
        hidden = blank(text)
        self.assertEqual(len(hidden), len(text))
        self.assertEqual(hidden.count("\n"), text.count("\n"))
        self.assertNotIn("co_await", hidden)
        self.assertIn("1'000", hidden)


class Includes(LintTest):
    def test_edges(self):
        self.finds(includes, {
            "base/a.hpp": '#pragma once\n#include "layers/b.hpp"  // BAD\n',
            "layers/b.hpp": '#pragma once\n#include "base/a.hpp"\n#include "registry/c.hpp"  // BAD\n#include "b.hpp"  // BAD\n#include <boost/asio/ip/tcp.hpp>  // BAD\n',
            "registry/c.hpp": '#pragma once\n#include "base/a.hpp"\n#include "protocol/scsi/d.hpp"  // BAD\n',
            "protocol/scsi/d.hpp": '#pragma once\n#include <spdlog/spdlog.h>  // BAD\n#include "protocol/net/e.hpp"  // BAD\n#include "base/json/f.hpp"  // BAD\n',
            "protocol/net/e.hpp": '#pragma once\n#include <spdlog/spdlog.h>\n#include "protocol/scsi/d.hpp"\n',
            "base/json/f.hpp": '#pragma once\n',
            "server/g.cpp": '#include "protocol/net/e.hpp"\n#include "registry/c.hpp"\n#include "layers/gone.hpp"  // BAD\n',
            "tools/h.cpp": '#include "registry/c.hpp"\n#include "server/g.hpp"  // BAD\n',
            "tests/unit/i.cpp": '#include "protocol/net/e.hpp"\n// #include "nothing.hpp" in words is no include\n',
        })

    def test_pragma_once(self):
        self.finds(includes, {"base/a.hpp": "int x;  // BAD\n"})


class Coroutines(LintTest):
    def test_good_shapes(self):
        self.finds(coroutines, {"base/good.cpp": '''
awaitable<result<int>> f(thing& it) {
    co_await g();
    const auto size = co_await it.size(1, "x{y}");
    auto [error, count] = co_await socket.async_read_some(buffer(room), tuple_awaitable);
    const result<std::vector<int>> all = co_await h<int, 2>(std::move(all));
    std::uint64_t& x = co_await ref();
    CO_TRY(const auto body, co_await fetch(request));
    CO_TRYV(co_await flush());
    if (size) co_await g();
    for (auto& one : all) co_await one.go();
    if (a) {
        co_return co_await g();
    } else co_await g();
    switch (kind) {
        case kind::one: co_await g(); break;
        default: co_await g();
    }
    auto both = co_await (left() || right());
    auto start = [](auto handler, int n) { handler(n); };
    co_return co_await asio::async_initiate<const asio::use_awaitable_t<>, void(int)>(start, asio::use_awaitable, 3);
}
'''})

    def test_bad_shapes(self):
        self.finds(coroutines, {"base/bad.cpp": '''
awaitable<int> f() {
    if (co_await probe()) co_return 0;  // BAD
    while (co_await more()) step();  // BAD
    switch (co_await kind()) {}  // BAD
    for (int i = co_await first(); i < 3; ++i) step();  // BAD
    x = c ? co_await a() : b;  // BAD
    x = co_await a();  // BAD
    const auto n = (co_await a()).size();  // BAD
    const auto o = co_await a() && b;  // BAD
    const auto p = co_await a() ? 1 : 2;  // BAD
    call(1, co_await a());  // BAD
    std::vector v{co_await a(), 2};  // BAD
    const auto q = !co_await a();  // BAD
    co_return 1 + co_await a();  // BAD
}
'''})

    def test_bad_operands(self):
        self.finds(coroutines, {"base/bad.cpp": '''
awaitable<int> f() {
    co_await fetch({.path = path});  // BAD
    co_await fetch(request{path});  // BAD
    co_await pool.run([&] { return 1; });  // BAD
    co_await pool.run([this, x] { return 1; });  // BAD
    CO_TRY(auto body, co_await fetch(range{1, 2}));  // BAD
    co_await pool.run([] { return 1; });
}
'''})

    def test_detached_and_capturing_coroutines(self):
        self.finds(coroutines, {"server/bad.cpp": '''
co_spawn(context, run(), asio::detached);  // BAD
auto work = [&]() -> asio::awaitable<void> { co_return; };  // BAD
auto fine = []() -> asio::awaitable<void> { co_return; };
auto plain = [&] { return 1; };
'''})


class Sizes(LintTest):
    def test_functions(self):
        body = "    step();\n" * 8
        self.finds(sizes, {"base/a.cpp": "namespace obd {\nclass c {\n    int f() {  // BAD\n" + body + "    }\n};\n"
                           "void c::g(int x = {}) const {  // BAD\n" + body + "}\n"
                           "const int table[] = {\n" + "    1,\n" * 9 + "};\n"
                           "void h() {\n    step();\n}\n}\n"}, function_lines=6)

    def test_files(self):
        found = list(sizes.check(self.tree({"base/a.hpp": "\n" * 12}), file_lines=10))
        self.assertEqual([(f.path, f.line) for f in found], [("base/a.hpp", 12)])

    def test_exceptions_need_reasons_and_die(self):
        files = {"base/a.hpp": "\n" * 12, sizes.KNOWN: "base/a.hpp: one table\nbase/gone.hpp: was long\n"}
        found = list(sizes.check(self.tree(files), file_lines=10))
        self.assertEqual(len(found), 1)
        self.assertIn("base/gone.hpp", found[0].message)


class Spec(LintTest):
    def test_orphans(self):
        self.finds(spec, {
            "protocol/iscsi/a.cpp": '// RFC 7143 §4.2.2.1: "MUST silently ignore"\n// RFC 7143 §6.3: "told and untested"  // BAD\n'
                                    '// SBC-4 §5.3: "proved"\n// RFC 7143 §11.3 is only mentioned.\n',
            "tests/unit/a.cpp": 'TEST_CASE("x", "[rfc7143-4.2.2.1][sbc4-5.3][rfc7143-11.3]") {}\nTEST_CASE("y", "[rfc7143-9.9]") {}  // BAD\n',
        })


class Language(LintTest):
    def test_words(self):
        later = "TO" + "DO"
        self.finds(language, {
            "base/a.cpp": f"// {later} later  // BAD\n// {later}(#12): fine\n// {later} issue 9: fine\nauto p = \"/home/me/x\";  // BAD\n",
            "tests/unit/b.cpp": "std::this_thread::sleep_for(1s);  // BAD\n// sleep_for in words\n",
            "server/c.cpp": "std::this_thread::sleep_for(1s);\n",
        })


class Style(LintTest):
    def test_scripts(self):
        files = {"tools/a.sh": "#!/bin/bash\nif\n", "tools/b.sh": "#!/bin/bash\ntrue\n", "tests/c.py": "x = 1\ndef\n"}
        self.assertEqual(sorted({f.path for f in style.check(self.tree(files))}), ["tests/c.py", "tools/a.sh"])

    def test_format(self):
        files = {"base/a.cpp": "int  x;\n", "base/b.cpp": "int x;\n", ".clang-format": "BasedOnStyle: Google\n"}
        found = [f.path for f in style.check(self.tree(files))]
        self.assertEqual(found, ["base/a.cpp"])


if __name__ == "__main__":
    unittest.main()
