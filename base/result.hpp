// Errors as values for a world that fails: disks, registries, damaged layers (docs/HACKING.md, "Errors").
//
// `result<T>` holds a T or a `failure`. A failure carries a category code for machines and a sentence for people, which
// grows on its way up: "image web: layer sha256:ab… sector 4096: crc mismatch". Hostile peers' mistakes and refused
// SCSI commands are not failures; protocol/ has its own types for those.
#pragma once

#include <boost/system/error_code.hpp>
#include <boost/system/result.hpp>
#include <boost/system/system_error.hpp>
#include <cerrno>
#include <string>
#include <string_view>
#include <utility>

namespace obd {

/// What several libraries mean alike. A library adds its own `…_errc` where a caller must tell cases apart.
enum class errc {
    ok = 0,
    corrupt,           ///< bytes are there but wrong: checksum, magic, bounds
    unsupported,       ///< a valid input that this program does not handle
    invalid_argument,  ///< the caller's or the user's input is wrong
    not_found,
    already_exists,
    busy,
    read_only,
    out_of_space,    ///< ENOSPC or a quota
    out_of_range,    ///< past the end of a blob or a device
    limit_exceeded,  ///< one of base/limits.hpp
    unavailable,     ///< the far side does not answer; a retry may help
    permission_denied,
    timed_out,
    cancelled,
    io_error,
};

const boost::system::error_category& obd_category() noexcept;
boost::system::error_code make_error_code(errc code) noexcept;

struct failure {
    boost::system::error_code code;
    std::string context;

    /// "context: what the code says", for logs and for users.
    std::string message() const;
    bool is(errc wanted) const noexcept { return code == make_error_code(wanted); }
};

/// Found by boost::system::result::value() when there is none; only start-up code and tests call that.
[[noreturn]] void throw_exception_from_error(const failure& error, const boost::source_location& where);

template <typename T>
using result = boost::system::result<T, failure>;

failure fail(errc code, std::string context);
/// From `errno` (or an errno value): EIO, ENOSPC, ENOENT, EACCES … become the matching errc; others keep the system's
/// code.
failure fail_errno(std::string context, int error = errno);
/// The same failure with `context` said before what it says already.
failure in_context(failure inner, std::string_view context);

/// Ends the process with a line in the log's last resort, stderr. For broken invariants of our own, never for input.
[[noreturn]] void assertion_failed(const char* expression, const char* file, int line) noexcept;

}  // namespace obd

namespace boost::system {
template <>
struct is_error_code_enum<obd::errc> : std::true_type {};
}  // namespace boost::system

#define OBD_JOIN_(a, b) a##b
#define OBD_JOIN(a, b) OBD_JOIN_(a, b)

#define ASSERT(expression) \
    (static_cast<bool>(expression) ? static_cast<void>(0) : ::obd::assertion_failed(#expression, __FILE__, __LINE__))

/// TRY(auto value, call()): binds the value or returns the failure. The V forms are for result<void>.
#define OBD_TRY_(name, leave, declaration, ...) \
    auto name = __VA_ARGS__;                    \
    if (!name) leave std::move(name).error();   \
    declaration = std::move(*name)
#define OBD_TRYV_(name, leave, ...) \
    auto name = __VA_ARGS__;        \
    if (!name) leave std::move(name).error()
#define TRY(declaration, ...) OBD_TRY_(OBD_JOIN(try_, __COUNTER__), return, declaration, __VA_ARGS__)
#define TRYV(...) OBD_TRYV_(OBD_JOIN(try_, __COUNTER__), return, __VA_ARGS__)
#define CO_TRY(declaration, ...) OBD_TRY_(OBD_JOIN(try_, __COUNTER__), co_return, declaration, __VA_ARGS__)
#define CO_TRYV(...) OBD_TRYV_(OBD_JOIN(try_, __COUNTER__), co_return, __VA_ARGS__)
