#include "tests/unit/layers/write/device_rig.hpp"

#include <algorithm>
#include <catch2/catch.hpp>

#include "layers/write/file_blob.hpp"
#include "layers/write/upper_files.hpp"
#include "tests/support/await.hpp"
#include "tests/support/layer_writer.hpp"

namespace obd::test {

using namespace layers;

device_rig::device_rig(upper_kind kind, std::uint64_t seed) : random_(seed), kind_(kind), model_(lower_sectors) {
    lsmt_builder lower;
    std::vector<std::byte> content;
    for (std::uint64_t at = pick(8); at + 40 < lower_sectors; at += 1 + pick(60)) {
        const auto count = 1 + pick(30);
        content = stamped(count, next_stamp_);
        lower.write(at, content);
        for (auto i = at; i < at + count; ++i) model_.set(i, next_stamp_);
        ++next_stamp_;
    }
    lsmt_options options;
    options.virtual_bytes = lower_sectors * sector_bytes;
    const auto path = scratch_.write("lower.lsmt", lower.committed(options));
    auto opened = await(services_.pool.open_file(path, std::string()));
    REQUIRE(opened.has_value());
    lowers_ = *read_stack::build({*opened});
    const auto made = create_upper_in(*disk_, {.paths = paths(),
                                               .kind = kind,
                                               .virtual_size = {lower_sectors * sector_bytes},
                                               .uuid = {},
                                               .parent_uuid = {}});
    REQUIRE(made.has_value());
}

upper_paths device_rig::paths_of(unsigned generation) {
    const auto number = std::to_string(generation);
    return {.data = "/data" + number, .index = "/index" + number};
}

upper_paths device_rig::paths() const {
    return paths_of(generation_);
}

std::string device_rig::open() {
    std::vector<std::shared_ptr<const opened_layer>> all(lowers_->layers().begin(), lowers_->layers().end());
    for (const auto& path : sealed_) {
        auto file = disk_->open(path, open_mode::read_only);
        if (!file) return file.error().message();
        auto blob = std::make_shared<file_blob>(*file, *(*file)->size(), services_.workers);
        auto layer = await(open_layer({.name = path, .digest = {}}, blob, services_.workers));
        if (!layer) return layer.error().message();
        all.push_back(*layer);
    }
    stack_ = *read_stack::build(std::move(all));
    auto top = open_upper({.files = disk_, .paths = paths(), .inherited_size = stack_->size()});
    if (!top) return top.error().message();
    device_ = std::make_shared<writable_device>(disk_, writable_device::layer_stack{*top, stack_}, services_.get());
    return "";
}

void device_rig::abandon() {
    device_.reset();
}

std::vector<std::byte> device_rig::stamped(std::uint64_t sectors, stamp value) const {
    std::vector<std::byte> bytes(sectors * sector_bytes);
    fill(bytes, value);
    return bytes;
}

std::vector<std::byte> device_rig::content() {
    auto all = read_all(*device_);
    REQUIRE(all.has_value());
    return *all;
}

void device_rig::step() {
    const auto dice = pick(100);
    if (dice < 55) return write();
    if (dice < 70) return discard();
    if (dice < 82) return read_some();
    if (dice < 90) return compare_and_write();
    if (dice < 98) return flush();
    resize();
}

void device_rig::write() {
    const auto at = pick(model_.sectors());
    const auto count = std::min(1 + pick(pick(4) == 0 ? 64 : 9), model_.sectors() - at);
    const auto value = next_stamp_++;
    const auto bytes = stamped(count, value);
    const auto how = pick(8);
    const byte_offset offset{at * sector_bytes};
    const bool in_place = how < 3 && device_->try_write(offset, bytes) == attempt::complete;
    const auto when = how == 3 ? durability::force_unit_access : durability::write_back;
    const auto written = in_place ? result<void>{} : await(device_->write(offset, bytes, when));
    if (!written) {
        INFO(written.error().message());
        REQUIRE(died());
        return model_.attempt_write(at, count, value);
    }
    model_.write(at, count, value);
    if (!in_place && when == durability::force_unit_access) model_.flushed();
}

void device_rig::discard() {
    const auto at = pick(model_.sectors());
    const auto count = std::min(1 + pick(pick(3) == 0 ? 300 : 20), model_.sectors() - at);
    const auto done = await(device_->discard({at * sector_bytes}, {count * sector_bytes}));
    if (!done) {
        REQUIRE(died());
        return model_.attempt_write(at, count, 0);
    }
    model_.write(at, count, 0);
}

void device_rig::read_some() {
    const auto at = pick(model_.sectors());
    const auto count = std::min(1 + pick(64), model_.sectors() - at);
    std::vector<std::byte> bytes(count * sector_bytes);
    const auto got = read_device(*device_, {at * sector_bytes}, bytes);
    REQUIRE(got.has_value());
    for (std::uint64_t i = 0; i < count; ++i) {
        const auto found = stamp_of(const_bytes(bytes).subspan(i * sector_bytes, sector_bytes));
        CAPTURE(at + i);
        REQUIRE(found == model_.now(at + i));
    }
}

void device_rig::compare_and_write() {
    const auto at = pick(model_.sectors());
    const auto value = next_stamp_++;
    const auto bytes = stamped(1, value);
    const bool right = pick(2) == 0;
    const auto expected = stamped(1, right ? model_.now(at) : value);
    const byte_offset offset{at * sector_bytes};
    const auto done = await(device_->compare_and_write(offset, expected, bytes, durability::write_back));
    if (!done) {
        REQUIRE(died());
        return model_.attempt_write(at, 1, value);
    }
    REQUIRE(done->has_value() != right);
    if (right) model_.write(at, 1, value);
}

void device_rig::resize() {
    const auto more = model_.sectors() + 1 + pick(100);
    const auto done = await(device_->resize({more * sector_bytes}));
    if (!done) {
        REQUIRE(died());
        return;
    }
    model_.grow(more);
}

void device_rig::flush() {
    const auto done = await(device_->flush());
    if (!done) {
        INFO(done.error().message());
        REQUIRE(died());
        return;
    }
    model_.flushed();
}

void device_rig::snapshot() {
    const auto before = paths();
    const auto next = ++last_generation_;
    snapshot_request request{
        .upper = paths_of(next), .kind = pick(2) == 0 ? upper_kind::sparse : upper_kind::append_only, .publish = {}};
    bool published = false;
    request.publish = [&](const snapshot_layers& made) {
        published = made.sealed == before.data;
        return result<void>{};
    };
    const auto taken = await(device_->snapshot(std::move(request)));
    if (!published) {
        REQUIRE(died());
        return;
    }
    generation_ = next;
    sealed_.push_back(before.data.string());
    REQUIRE((taken.has_value() || died()));
    // All acknowledged writes are in the sealed layer, durable.
    model_.flushed();
}

}  // namespace obd::test
