#include "base/result.hpp"

#include <cstdio>
#include <cstdlib>

namespace obd {
namespace {

class category final : public boost::system::error_category {
public:
    const char* name() const noexcept override { return "obd"; }
    std::string message(int value) const override;
};

std::string category::message(int value) const {
    switch (static_cast<errc>(value)) {
        case errc::ok:
            return "success";
        case errc::corrupt:
            return "corrupt data";
        case errc::unsupported:
            return "not supported";
        case errc::invalid_argument:
            return "invalid";
        case errc::not_found:
            return "not found";
        case errc::already_exists:
            return "already exists";
        case errc::busy:
            return "busy";
        case errc::read_only:
            return "read-only";
        case errc::out_of_space:
            return "no space left";
        case errc::out_of_range:
            return "out of range";
        case errc::limit_exceeded:
            return "limit exceeded";
        case errc::unavailable:
            return "unavailable";
        case errc::permission_denied:
            return "permission denied";
        case errc::timed_out:
            return "timed out";
        case errc::cancelled:
            return "cancelled";
        case errc::io_error:
            return "input/output error";
    }
    return "unknown error";
}

errc from_errno(int error) noexcept {
    switch (error) {
        case EIO:
            return errc::io_error;
        case ENOENT:
            return errc::not_found;
        case EEXIST:
            return errc::already_exists;
        case EBUSY:
            return errc::busy;
        case EROFS:
            return errc::read_only;
        case EDQUOT:
        case ENOSPC:
            return errc::out_of_space;
        case EACCES:
        case EPERM:
            return errc::permission_denied;
        case ETIMEDOUT:
            return errc::timed_out;
        case ECANCELED:
            return errc::cancelled;
        default:
            return errc::ok;
    }
}

}  // namespace

const boost::system::error_category& obd_category() noexcept {
    static const category instance;
    return instance;
}

boost::system::error_code make_error_code(errc code) noexcept {
    return {static_cast<int>(code), obd_category()};
}

std::string failure::message() const {
    if (context.empty()) return code.message();
    return context + ": " + code.message();
}

void throw_exception_from_error(const failure& error, const boost::source_location&) {
    throw boost::system::system_error(error.code, error.context);
}

failure fail(errc code, std::string context) {
    return {make_error_code(code), std::move(context)};
}

failure fail_errno(std::string context, int error) {
    const auto known = from_errno(error);
    if (known != errc::ok) return fail(known, std::move(context));
    return {boost::system::error_code(error, boost::system::system_category()), std::move(context)};
}

failure in_context(failure inner, std::string_view context) {
    std::string joined(context);
    if (!inner.context.empty()) joined.append(": ").append(inner.context);
    inner.context = std::move(joined);
    return inner;
}

void assertion_failed(const char* expression, const char* file, int line) noexcept {
    std::fprintf(stderr, "%s:%d: broken invariant: %s\n", file, line, expression);
    std::abort();
}

}  // namespace obd
