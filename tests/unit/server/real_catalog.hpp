// A catalog on real layers: local files, writable uppers, a state folder. Only the target server is a stand-in, which
// hands out what it was given.
#pragma once

#include "layers/layer_pool.hpp"
#include "layers/write/writable_image.hpp"
#include "server/catalog/services_opener.hpp"
#include "tests/support/layer_writer.hpp"
#include "tests/unit/server/fakes.hpp"

namespace obd::server::test {

inline constexpr std::uint64_t disk_bytes = 1 << 20;

class real_catalog {
public:
    explicit real_catalog(catalog_options options = catalog_fixture::options()) : options_(std::move(options)) {
        registry::client_options remote;
        remote.cache_dir = folder / "cache";
        registry_ = registry::client::create(std::move(remote), control.get_executor(), workers_, quiet_log()).value();
        const layers::image_services services{
            .workers = workers_, .pool = pool_, .registry = registry_.get(), .log = quiet_log(), .uppers = &uppers_};
        opener_ = std::make_unique<services_opener>(*registry_, services, quiet_log());
        obd::test::lsmt_builder layer;
        layer.write(0, std::vector(disk_bytes / 2, std::byte{0x11}));
        obd::test::lsmt_options shape;
        shape.virtual_bytes = disk_bytes;
        folder.write("base.obd", layer.committed(shape));
        const auto path = (folder / "base.obd").native();
        config = folder.write("image/config.v1.json", R"({"lowers": [{"file": ")" + path + R"("}]})");
        start();
    }
    ~real_catalog() { stop(); }

    /// As after a crash or a stop of the daemon: another catalog on the same folders.
    void restart() {
        stop();
        start();
    }
    /// In good order; without it a restart finds what a SIGKILL leaves.
    void close() { run(exports->close()); }

    catalog* operator->() const { return exports.get(); }
    attach_request request(const std::string& name) const {
        attach_request asked;
        asked.origin.config = config;
        asked.name = name;
        return asked;
    }
    template <typename T>
    T run(asio::awaitable<T> what) {
        std::optional<T> value;
        std::exception_ptr error;
        auto done = [&](std::exception_ptr thrown, T returned) {
            error = thrown;
            value.emplace(std::move(returned));
        };
        asio::co_spawn(control, std::move(what), done);
        control.restart();
        while (!value && control.run_one() > 0) {
        }
        if (error) std::rethrow_exception(error);
        return std::move(*value);
    }
    void run(asio::awaitable<void> what) {
        bool over = false;
        auto done = [&](std::exception_ptr error) {
            over = true;
            if (error) std::rethrow_exception(error);
        };
        asio::co_spawn(control, std::move(what), done);
        control.restart();
        while (!over && control.run_one() > 0) {
        }
    }
    template <typename Condition>
    void run_until(Condition condition) {
        control.restart();
        while (!condition()) REQUIRE(control.run_one() > 0);
    }

    // What an initiator does to a unit.
    result<void> write(block_device& disk, std::uint64_t offset, std::byte value, std::size_t count = 4096) {
        const std::vector<std::byte> data(count, value);
        return run(disk.write({offset}, data, durability::force_unit_access));
    }
    /// The value that all of the bytes have.
    std::optional<std::byte> read(block_device& disk, std::uint64_t offset, std::size_t count = 4096) {
        std::vector<std::byte> data(count);
        if (!run(disk.read({offset}, data))) return std::nullopt;
        for (const auto byte : data) {
            if (byte != data.front()) return std::nullopt;
        }
        return data.front();
    }

    obd::test::scratch_directory folder;
    std::filesystem::path config;
    asio::io_context control{1};
    fake_target_server target;
    std::unique_ptr<catalog> exports;

private:
    void start() {
        store_.emplace(state_store::open(folder / "state").value());
        target.targets.clear();
        const catalog_services services{.control = control.get_executor(),
                                        .workers = workers_,
                                        .target = target,
                                        .opener = *opener_,
                                        .store = *store_,
                                        .audit = audit_,
                                        .log = quiet_log()};
        exports = std::make_unique<catalog>(options_, services);
        REQUIRE(exports->restore().has_value());
    }
    void stop() {
        close();
        exports.reset();
        store_.reset();
    }

    const catalog_options options_;
    worker_pool workers_{2};
    layers::layer_pool pool_{workers_};
    layers::writable_layers uppers_;
    audit_log audit_;
    std::unique_ptr<registry::client> registry_;
    std::unique_ptr<services_opener> opener_;
    std::optional<state_store> store_;
};

}  // namespace obd::server::test
