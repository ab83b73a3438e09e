#include "tools/image/turbo_apply.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <optional>
#include <utility>
#include <vector>

#include "layers/fs/ext4_mkfs.hpp"
#include "layers/fs/ext4_volume.hpp"
#include "layers/write/blocking.hpp"
#include "layers/write/gzip_index_writer.hpp"
#include "tools/image/open_stack.hpp"
#include "tools/image/registry_access.hpp"
#include "tools/image/tar_meta.hpp"

namespace obd::tools {
namespace {

using layers::run_blocking;

class turbo_disk final : public fs::sync_disk {
public:
    turbo_disk(layers::turbo_upper& top, const layers::read_stack* lowers) : top_(top), lowers_(lowers) {}

    byte_count size() const noexcept override { return top_.identity().virtual_size; }

    result<void> read(byte_offset offset, mutable_bytes out) override {
        TRYV(check_range(offset, out.size()));
        TRYV(read_below(offset, out));
        const layers::sector_range range{.start = sector_of(offset), .length = out.size() / sector_bytes};
        for (const auto& m : top_.lookup(range)) {
            const auto part = out.subspan(to_bytes(sector{m.start.value - range.start.value}).value,
                                          std::uint64_t{m.length} * sector_bytes);
            if (m.zeroed) {
                std::ranges::fill(part, std::byte{0});
            } else if (m.tag == layers::lsmt::turbo_tag_target) {
                return fail(errc::unsupported, "reading file contents of a TurboOCI layer while it is made");
            } else {
                TRYV(top_.data().read(to_bytes(m.moffset), part));
            }
        }
        return {};
    }
    result<void> write(byte_offset offset, const_bytes data) override {
        TRYV(check_range(offset, data.size()));
        return top_.write(sector_of(offset), data);
    }
    result<void> discard(byte_offset offset, byte_count count) override {
        TRYV(check_range(offset, count.value));
        const layers::sector_range range{.start = sector_of(offset), .length = count.value / sector_bytes};
        // Where nothing lies, here or below, there is nothing to hide.
        if (lowers_ != nullptr || !top_.lookup(range).empty()) top_.zero(range);
        return {};
    }
    result<void> flush() override { return top_.flush(); }

private:
    result<void> read_below(byte_offset offset, mutable_bytes out) {
        std::ranges::fill(out, std::byte{0});
        if (lowers_ == nullptr || offset.value >= lowers_->size().value) return {};
        const auto part = out.first(std::min<std::uint64_t>(out.size(), lowers_->size().value - offset.value));
        if (lowers_->try_read(offset, part) == attempt::complete) return {};
        return run_blocking(lowers_->read(offset, part));
    }

    layers::turbo_upper& top_;
    const layers::read_stack* lowers_;
};

bool is_gzip(const std::string& path) {
    std::array<std::byte, 2> magic{};
    const auto file = fs::open_stream(path);
    if (!file) return false;
    const auto count = (*file)->read(magic);
    return count && *count == 2 && magic[0] == std::byte{0x1f} && magic[1] == std::byte{0x8b};
}

/// Passes a gzip file on and makes its index.
class indexed_stream final : public fs::byte_stream {
public:
    indexed_stream(fs::byte_stream& from, layers::gzip_index_writer& index) : from_(from), index_(index) {}
    result<std::size_t> read(mutable_bytes out) override {
        TRY(const auto count, from_.read(out));
        TRYV(index_.packed(const_bytes(out).first(count)));
        return count;
    }

private:
    fs::byte_stream& from_;
    layers::gzip_index_writer& index_;
};

/// The layer, and its gzip index while it is read, if it is gzip.
class layer_input {
public:
    static result<std::unique_ptr<layer_input>> open(const std::string& path, const std::string& gzip_index) {
        auto input = std::make_unique<layer_input>();
        TRY(input->file_, fs::open_stream(path));
        input->stream_ = input->file_.get();
        if (!is_gzip(path)) return input;
        if (gzip_index.empty()) return fail(errc::invalid_argument, path + ": is gzip, and --gz_index_path is empty");
        TRY(auto sink, layers::file_sink::create(gzip_index, layers::file_sink::existing::replace));
        input->sink_.emplace(std::move(sink));
        TRY(input->index_, layers::gzip_index_writer::begin(*input->sink_));
        input->indexed_.emplace(*input->stream_, *input->index_);
        input->stream_ = &*input->indexed_;
        return input;
    }
    fs::byte_stream& stream() { return *stream_; }
    /// Reads what is left, and puts the index in its place.
    result<void> finish() {
        TRYV(fs::drain(*stream_));
        if (!index_) return {};
        TRY(const auto totals, index_->finish());
        static_cast<void>(totals);
        return sink_->finish();
    }

private:
    std::unique_ptr<fs::byte_stream> file_;
    std::optional<layers::file_sink> sink_;
    std::unique_ptr<layers::gzip_index_writer> index_;
    std::optional<indexed_stream> indexed_;
    fs::byte_stream* stream_ = nullptr;
};

result<fs::apply_report> apply_to(layers::turbo_upper& top, fs::sync_disk& disk, const turbo_request& request) {
    if (request.mkfs) {
        TRYV(fs::make_ext4(disk, {}));
    }
    TRY(const auto volume, fs::ext4_volume::open(disk));
    tar_meta_places places;
    fs::apply_options options;
    options.expected_digest = request.checksum;
    options.map_contents = [&](const fs::apply_options::content_place& place) -> result<void> {
        TRY(const auto in_tar, request.from_meta ? places.real(place.in_tar) : result<byte_offset>(place.in_tar));
        top.map_target({.start = sector_of(place.on_disk), .length = place.count.value / sector_bytes},
                       sector_of(in_tar));
        return {};
    };
    TRY(const auto input, layer_input::open(request.input, request.gzip_index));
    if (!request.from_meta) {
        TRY(auto report, fs::apply_layer(*volume, input->stream(), options));
        TRYV(input->finish());
        return report;
    }
    tar_meta_reader whole(input->stream(), places);
    return fs::apply_layer(*volume, whole, options);
}

}  // namespace

std::unique_ptr<fs::sync_disk> make_turbo_disk(layers::turbo_upper& top, const layers::read_stack* lowers) {
    return std::make_unique<turbo_disk>(top, lowers);
}

result<fs::apply_report> turbo_apply(const turbo_request& request, tool_services& services) {
    if (!request.image.upper.writable())
        return fail(errc::invalid_argument, request.where + ": has no \"upper\" to write to");
    TRY(const auto registry, connect_registry(request.image, request.service_config, services));
    auto with = services.get();
    if (registry) with.registry = &registry->blobs();
    std::shared_ptr<const layers::read_stack> lowers;
    if (!request.image.lowers.empty()) {
        auto below = request.image;
        below.upper = {};
        TRY(auto stack, open_stack(std::move(below), request.where, with));
        lowers = std::move(stack.lowers);
    }
    const layers::upper_paths paths{.data = request.image.upper.data, .index = request.image.upper.index};
    const auto inherited = lowers ? lowers->size() : byte_count{};
    TRY(const auto top, layers::turbo_upper::open(paths, layers::turbo_upper::access::read_write, inherited));
    const auto disk = make_turbo_disk(*top, lowers.get());
    TRY(auto report, apply_to(*top, *disk, request));
    TRYV(top->flush());
    return report;
}

result<void> write_tar_meta(const std::string& input, const std::string& gzip_index, const std::string& output) {
    TRY(const auto layer, layer_input::open(input, gzip_index));
    TRY(auto to, layers::file_sink::create(output, layers::file_sink::existing::replace));
    const auto plain = fs::decompressed(layer->stream());
    TRYV(export_tar_meta(*plain, to));
    TRYV(layer->finish());
    return to.finish();
}

}  // namespace obd::tools
