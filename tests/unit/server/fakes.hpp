// Stand-ins for what the catalog drives: a target that only keeps lists, images in memory, an opener that does as told.
#pragma once

#include <rapidjson/document.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>
#include <spdlog/logger.h>
#include <spdlog/sinks/null_sink.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <optional>

#include "protocol/net/target_server.hpp"
#include "server/catalog/catalog.hpp"
#include "tests/support/scratch_directory.hpp"

// Catch asks whether a value can be printed, and boost's answer for a result of any type is a hard error.
template <typename T>
struct Catch::StringMaker<obd::result<T>> {
    static std::string convert(const obd::result<T>& outcome) {
        return outcome ? "success" : "failure: " + outcome.error().message();
    }
};

namespace obd::server::test {

using obd::test::scratch_directory;

/// RapidJSON's own == recurses for ever in C++20.
inline std::string json_text(const rapidjson::Value& value) {
    rapidjson::StringBuffer buffer;
    rapidjson::Writer<rapidjson::StringBuffer> out(buffer);
    value.Accept(out);
    return buffer.GetString();
}

inline spdlog::logger& quiet_log() {
    static spdlog::logger log("test", std::make_shared<spdlog::sinks::null_sink_mt>());
    return log;
}

/// A read-only disk of one repeated byte.
class fake_image final : public layers::image {
public:
    fake_image(std::byte filling, std::uint64_t size) : filling_(filling) { geometry_.size = {size}; }

    device_geometry geometry() const noexcept override { return geometry_; }
    attempt try_read(byte_offset, mutable_bytes out) noexcept override {
        std::fill(out.begin(), out.end(), filling_);
        return attempt::complete;
    }
    asio::awaitable<result<void>> read(byte_offset offset, mutable_bytes out) override {
        try_read(offset, out);
        co_return result<void>{};
    }
    asio::awaitable<result<void>> write(byte_offset, const_bytes, durability) override {
        co_return fail(errc::read_only, "fake");
    }
    asio::awaitable<result<void>> write_atomic(byte_offset, const_bytes, durability) override {
        co_return fail(errc::read_only, "fake");
    }
    asio::awaitable<result<std::optional<miscompare>>> compare_and_write(byte_offset, const_bytes, const_bytes,
                                                                         durability) override {
        co_return fail(errc::read_only, "fake");
    }
    asio::awaitable<result<void>> discard(byte_offset, byte_count) override { co_return fail(errc::read_only, "fake"); }
    asio::awaitable<result<void>> flush() override { co_return result<void>{}; }
    asio::awaitable<result<std::vector<device_extent>>> extents(byte_offset, byte_count, std::size_t) override {
        co_return std::vector<device_extent>{};
    }
    asio::awaitable<result<void>> prefetch(byte_offset, byte_count) override { co_return result<void>{}; }

    std::vector<layers::layer_summary> layers() const override {
        return {{"sha256:fake", geometry_.size, "fake", {4096}}};
    }
    std::array<std::byte, 32> identity() const override {
        std::array<std::byte, 32> id{};
        id.fill(filling_);
        return id;
    }
    asio::awaitable<result<void>> close() override {
        closed = true;
        co_return result<void>{};
    }

    bool closed = false;

private:
    std::byte filling_;
    device_geometry geometry_;
};

/// Opens what `images` holds for a reference; fails with `failure_of` first, if that is set; waits while `hold` is set.
class fake_opener final : public image_opener {
public:
    explicit fake_opener(asio::any_io_executor executor) : released_(executor) {
        released_.expires_at(asio::steady_timer::time_point::max());
    }

    asio::awaitable<result<opened_image>> open(opening when, image_origin origin,
                                               std::optional<pinned_image> pinned) override {
        ++calls;
        last_opening = when;
        last_pinned = pinned;
        ++inside;
        most_inside = std::max(most_inside, inside);
        while (hold) {
            [[maybe_unused]] const auto [ignored] = co_await released_.async_wait(asio::as_tuple(asio::use_awaitable));
        }
        --inside;
        if (failures > 0) {
            --failures;
            co_return fail(errc::unavailable, "registry");
        }
        const auto found = images.find(origin.reference);
        if (found == images.end()) co_return fail(errc::not_found, origin.reference);
        pinned_image pin{"http://registry/v2/x/blobs", "sha256:" + std::string(64, 'a'), {}};
        co_return opened_image{found->second, std::move(pin)};
    }

    asio::awaitable<result<std::shared_ptr<layers::image>>> open_clone(std::filesystem::path,
                                                                       std::shared_ptr<const clone_base>) override {
        co_return fail(errc::unsupported, "no clones here");
    }

    void release() {
        hold = false;
        released_.cancel();
    }

    std::map<std::string, std::shared_ptr<layers::image>> images;
    int failures = 0;
    bool hold = false;
    int calls = 0;
    int inside = 0;
    int most_inside = 0;
    opening last_opening = opening::first;
    std::optional<pinned_image> last_pinned;

private:
    asio::steady_timer released_;
};

class fake_target_server final : public iscsi::target_server {
public:
    std::vector<std::string> portals() const override { return {"127.0.0.1:3260"}; }
    result<void> add_target(iscsi::target_options options) override {
        if (targets.contains(options.name)) return fail(errc::already_exists, options.name);
        targets[options.name].options = options;
        return {};
    }
    result<void> add_lun(const std::string& target, iscsi::lun_options options) override {
        if (refuse_luns) return fail(errc::io_error, "told to refuse");
        targets.at(target).luns[options.lun] = options;
        return {};
    }
    asio::awaitable<result<void>> remove_lun(const std::string& target, std::uint16_t lun) override {
        targets.at(target).luns.erase(lun);
        co_return result<void>{};
    }
    asio::awaitable<result<void>> remove_target(const std::string& target, std::chrono::milliseconds) override {
        targets.erase(target);
        co_return result<void>{};
    }
    result<void> capacity_changed(const std::string&, std::uint16_t) override {
        ++capacity_changes;
        return {};
    }
    result<void> capacity_changed(const std::string&, const std::string&, std::uint16_t) override {
        ++capacity_changes;
        return {};
    }
    result<void> set_redirect(const std::string& target, std::optional<iscsi::redirection> redirect) override {
        targets.at(target).options.redirect = std::move(redirect);
        return {};
    }
    asio::awaitable<result<void>> end_sessions(std::string target, std::string initiator,
                                               std::chrono::milliseconds) override {
        std::erase_if(session_list, [&](const iscsi::session_info& one) {
            return one.target_name == target && one.initiator_name == initiator;
        });
        co_return result<void>{};
    }
    std::vector<iscsi::session_info> sessions() const override { return session_list; }
    asio::awaitable<void> shutdown(std::chrono::milliseconds) override { co_return; }

    struct shown_target {
        iscsi::target_options options;
        std::map<std::uint16_t, iscsi::lun_options> luns;
    };
    std::map<std::string, shown_target> targets;
    std::vector<iscsi::session_info> session_list;
    int capacity_changes = 0;
    bool refuse_luns = false;
};

/// Everything a catalog needs, on one io_context that run() drives.
struct catalog_fixture {
    explicit catalog_fixture(const std::filesystem::path& state)
        : store(state_store::open(state).value()),
          opener(control.get_executor()),
          exports(options(), {control.get_executor(), workers, target, opener, store, audit, quiet_log()}) {}

    static catalog_options options() {
        catalog_options chosen;
        chosen.target_prefix = "iqn.2026-11.io.overlaybd";
        chosen.first_retry = std::chrono::milliseconds(1);
        chosen.longest_retry = std::chrono::milliseconds(4);
        chosen.images_opening_at_once = 2;
        return chosen;
    }

    /// Runs a coroutine to its end and gives what it returned.
    template <typename T>
    T run(asio::awaitable<T> what) {
        std::optional<T> value;
        std::exception_ptr error;
        asio::co_spawn(control, std::move(what), [&](std::exception_ptr thrown, T returned) {
            error = thrown;
            value.emplace(std::move(returned));
        });
        control.restart();
        while (!value && control.run_one() > 0) {
        }
        if (error) std::rethrow_exception(error);
        return std::move(*value);
    }
    void run(asio::awaitable<void> what) {
        bool done = false;
        asio::co_spawn(control, std::move(what), [&](std::exception_ptr error) {
            done = true;
            if (error) std::rethrow_exception(error);
        });
        control.restart();
        while (!done && control.run_one() > 0) {
        }
    }
    /// Runs until `condition` holds. Something must be under way that makes it so.
    template <typename Condition>
    void run_until(Condition condition) {
        control.restart();
        while (!condition()) REQUIRE(control.run_one() > 0);
    }

    static attach_request by_reference(const std::string& reference) {
        attach_request request;
        request.origin.reference = reference;
        return request;
    }

    asio::io_context control{1};
    worker_pool workers{2};
    audit_log audit;
    state_store store;
    fake_target_server target;
    fake_opener opener;
    catalog exports;
};

}  // namespace obd::server::test
