// A writable disk over real read-only layers and files that can lose power, driven at random against a model.
#pragma once

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "layers/read_stack.hpp"
#include "layers/write/upper.hpp"
#include "layers/write/writable_device.hpp"
#include "tests/support/layer_fixtures.hpp"
#include "tests/unit/layers/write/disk_model.hpp"
#include "tests/unit/layers/write/torn_disk.hpp"

namespace obd::test {

class device_rig {
public:
    static constexpr std::uint64_t lower_sectors = 1024;

    device_rig(layers::upper_kind kind, std::uint64_t seed);

    /// Opens the disk; "" or what went wrong.
    std::string open();
    /// Drops it without closing, as the death of the process does.
    void abandon();
    /// A random operation, applied to the model too. Failures are kept in failure().
    void step();
    void flush();
    void snapshot();
    std::vector<std::byte> content();

    torn_disk& disk() { return *disk_; }
    disk_model& model() { return model_; }
    layers::writable_device& device() { return *device_; }
    std::mt19937_64& random() { return random_; }
    std::uint64_t pick(std::uint64_t below) { return random_() % below; }
    bool died() const { return disk_->dead(); }
    layers::upper_paths paths() const;
    static layers::upper_paths paths_of(unsigned generation);
    std::shared_ptr<const layers::read_stack> stack() const { return stack_; }
    layer_services& services() { return services_; }

private:
    void write();
    void discard();
    void read_some();
    void compare_and_write();
    void resize();
    std::vector<std::byte> stamped(std::uint64_t sectors, stamp value) const;

    std::mt19937_64 random_;
    layers::upper_kind kind_;
    scratch_directory scratch_;
    layer_services services_;
    std::shared_ptr<torn_disk> disk_ = std::make_shared<torn_disk>();
    std::shared_ptr<const layers::read_stack> lowers_;
    std::shared_ptr<const layers::read_stack> stack_;  ///< lowers and sealed uppers, as of the last open
    std::vector<std::string> sealed_;                  ///< uppers of before, bottom first
    std::shared_ptr<layers::writable_device> device_;
    disk_model model_;
    stamp next_stamp_ = 1'000'000;
    unsigned generation_ = 0;       ///< of the present upper
    unsigned last_generation_ = 0;  ///< that was tried
};

}  // namespace obd::test
