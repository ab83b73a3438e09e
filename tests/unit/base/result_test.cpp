#include <catch2/catch.hpp>

#include "base/result.hpp"

using namespace obd;

namespace {

result<int> half(int n) {
    if (n % 2 != 0) return fail(errc::invalid_argument, std::to_string(n));
    return n / 2;
}

result<int> quarter(int n) {
    TRY(const int once, half(n));
    TRY(const int twice, half(once));
    return twice;
}

result<void> check(int n) {
    TRYV(quarter(n));
    return {};
}

}  // namespace

TEST_CASE("TRY hands failures on") {
    CHECK(quarter(8).value() == 2);
    CHECK(quarter(6).error().message() == "3: invalid");
    CHECK(check(8).has_value());
    CHECK(check(7).error().is(errc::invalid_argument));
}

TEST_CASE("context grows on the way up") {
    CHECK(in_context(fail(errc::corrupt, "sector 8"), "layer a").message() == "layer a: sector 8: corrupt data");
    CHECK(in_context(fail(errc::corrupt, ""), "layer a").message() == "layer a: corrupt data");
}

TEST_CASE("errno becomes a code that callers can tell apart") {
    CHECK(fail_errno("f", ENOSPC).is(errc::out_of_space));
    CHECK(fail_errno("f", ENOENT).is(errc::not_found));
    CHECK(fail_errno("f", ENOTDIR).code == boost::system::errc::not_a_directory);
}
