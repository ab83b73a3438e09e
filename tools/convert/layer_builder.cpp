#include "tools/convert/layer_builder.hpp"

#include <algorithm>
#include <memory>
#include <utility>

#include "base/digest.hpp"
#include "layers/fs/ext4_volume.hpp"
#include "layers/fs/oci_apply.hpp"
#include "layers/fs/scratch_disk.hpp"
#include "layers/write/blocking.hpp"
#include "layers/write/commit.hpp"
#include "layers/write/lsmt_writer.hpp"

namespace obd::convert {
namespace {

sector sector_at(byte_offset offset) {
    return sector_of(offset);
}

/// The scratch disk's changes as an LSMT layer.
result<std::uint64_t> write_lsmt(fs::scratch_disk& disk, const layers::layer_description& description,
                                 layers::byte_sink& to) {
    TRY(auto writer, layers::lsmt_writer::begin(to, description));
    fs::scratch_disk::change_visitor visitor;
    visitor.data = [&writer](byte_offset at, const_bytes bytes) { return writer.data(sector_at(at), bytes); };
    visitor.zeroed = [&writer](byte_offset at, byte_count count) {
        return writer.zeroed(sector_at(at), count.value / sector_bytes);
    };
    TRYV(disk.visit_changes(visitor));
    TRY(const auto totals, writer.finish());
    return totals.data.value;
}

result<std::uint64_t> write_layer(fs::scratch_disk& disk, const layer_request& request, const build_options& options) {
    layers::layer_description description;
    description.virtual_size = disk.size();
    description.uuid = uuid_of_chain(request.chain_id);
    if (!request.parent_chain_id.empty()) description.parent_uuid = uuid_of_chain(request.parent_chain_id);
    layers::layer_wrapping wrapping;
    wrapping.zfile = options.zfile;
    wrapping.tar = true;
    TRY(auto file, layers::file_sink::create(request.output, layers::file_sink::existing::keep));
    std::uint64_t changed = 0;
    const auto content = [&](layers::byte_sink& inner) -> result<void> {
        TRY(changed, write_lsmt(disk, description, inner));
        return {};
    };
    TRYV(layers::write_wrapped(wrapping, file, content));
    TRYV(file.finish());
    return changed;
}

/// The tar wrapper's headers are written last, so the digest needs a second look at the file.
result<void> describe(const std::filesystem::path& file, built_layer& layer) {
    TRY(const auto stream, fs::open_stream(file));
    fs::digest_stream counted(*stream);
    TRYV(fs::drain(counted));
    layer.size = {counted.size()};
    layer.digest = std::move(counted).finish_digest();
    return {};
}

fs::mkfs_options file_system_for(const layer_request& request, const build_options& options) {
    fs::mkfs_options made;
    made.with_journal = options.with_journal;
    const auto seed = from_hex(std::string_view(request.chain_id).substr(sizeof("sha256:") - 1));
    if (seed && seed->size() == made.seed.size()) std::ranges::copy(*seed, made.seed.begin());
    return made;
}

result<built_layer> build_on(fs::sync_disk* below, const layer_request& request, const build_options& options) {
    const auto size = below == nullptr ? options.virtual_size : below->size();
    TRY(const auto disk, fs::scratch_disk::create(below, size, options.work_directory));
    if (below == nullptr) {
        TRYV(fs::make_ext4(*disk, file_system_for(request, options)));
    }
    built_layer layer;
    {
        TRY(const auto volume, fs::ext4_volume::open(*disk));
        fs::apply_options how;
        how.expected_digest = request.diff_id;
        TRY(const auto report, fs::apply_layer(*volume, request.tar, how));
        layer.content_bytes = report.content_bytes;
        layer.members = report.members;
    }
    TRY(layer.changed_bytes, write_layer(*disk, request, options));
    TRYV(describe(request.output, layer));
    return layer;
}

}  // namespace

std::string build_options::profile() const {
    return "ext4-1,size=" + std::to_string(virtual_size.value) +
           ",journal=" + (with_journal == fs::journal::present ? "yes" : "no") +
           ",algorithm=" + std::to_string(static_cast<int>(zfile.algo)) + ",block=" + std::to_string(zfile.block_bytes);
}

std::string uuid_of_chain(const std::string& chain_id) {
    const auto hex = chain_id.substr(sizeof("sha256:") - 1);
    return hex.substr(0, 8) + "-" + hex.substr(8, 4) + "-" + hex.substr(12, 4) + "-" + hex.substr(16, 4) + "-" +
           hex.substr(20, 12);
}

result<built_layer> build_layer(const layer_request& request, const build_options& options,
                                layers::image_services services) {
    if (request.below.lowers.empty()) return build_on(nullptr, request, options);
    TRY(const auto image, layers::run_blocking(layers::open_image(request.below, services)));
    const auto below = fs::make_device_disk(*image);
    return build_on(below.get(), request, options);
}

}  // namespace obd::convert
