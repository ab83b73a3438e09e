#include "tools/image/inspect.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <optional>

#include "base/crc32c.hpp"
#include "layers/local_blob.hpp"
#include "layers/lsmt/header.hpp"
#include "layers/lsmt/reader.hpp"
#include "layers/tar/wrapper.hpp"
#include "layers/window_source.hpp"
#include "layers/write/blocking.hpp"
#include "layers/zfile/reader.hpp"

namespace obd::tools {
namespace {

namespace flags = layers::lsmt::flag;
using layers::run_blocking;

constexpr std::uint64_t read_bytes = 1 << 20;
constexpr std::uint32_t trace_magic = 0xC2EF1820;
constexpr std::uint64_t trace_header_bytes = 24;
constexpr std::uint64_t trace_record_bytes = 24;
constexpr std::uint64_t most_trace_bytes = 1 << 30;

result<void> read_whole(blob_source& from) {
    std::vector<std::byte> buffer(read_bytes);
    for (std::uint64_t at = 0; at < from.size().value;) {
        const auto part = mutable_bytes(buffer).first(std::min(read_bytes, from.size().value - at));
        TRYV(run_blocking(from.read({at}, part)));
        at += part.size();
    }
    return {};
}

result<std::vector<std::byte>> read_at(blob_source& from, byte_offset offset, std::uint64_t count) {
    std::vector<std::byte> bytes(count);
    TRYV(run_blocking(from.read(offset, bytes)));
    return bytes;
}

void add(inspected_part& part, std::string name, inspected_value value) {
    part.fields.emplace_back(std::move(name), std::move(value));
}

std::string yes_or_no(bool value) {
    return value ? "yes" : "no";
}

/// Sums over an index.
struct index_sums {
    std::uint64_t data = 0;
    std::uint64_t zeroed = 0;
    std::uint64_t count = 0;
};

index_sums take_entries(std::span<const layers::lsmt::packed_mapping> index, const inspect_options& options,
                        inspection& into) {
    index_sums sums;
    for (const auto& entry : index) {
        if (entry.is_padding()) continue;
        ++sums.count;
        (entry.zeroed() ? sums.zeroed : sums.data) += entry.length() * sector_bytes;
        if (!options.entries) continue;
        into.entries.push_back({.start = entry.start().value,
                                .length = entry.length(),
                                .moffset = entry.moffset().value,
                                .zeroed = entry.zeroed()});
    }
    return sums;
}

void add_header(inspected_part& part, const layers::lsmt::header_fields& header) {
    add(part, "virtual_size", header.virtual_size.value);
    add(part, "uuid", header.uuid);
    add(part, "parent_uuid", header.parent_uuid);
    add(part, "message", header.user_tag);
}

/// The tar that a TurboOCI layer is over, which is not at hand: of any size, never read.
class unknown_target final : public blob_source {
public:
    std::string_view name() const noexcept override { return "target"; }
    byte_count size() const noexcept override { return {std::uint64_t{1} << 62}; }
    attempt try_read(byte_offset, mutable_bytes) noexcept override { return attempt::would_block; }
    asio::awaitable<result<void>> read(byte_offset, mutable_bytes) override {
        co_return fail(errc::unsupported, "the target of a TurboOCI layer");
    }
    bool discard_cached(byte_offset, byte_count) noexcept override { return false; }
    void prefetch(byte_offset, byte_count) noexcept override {}
};

/// Nothing in a TurboOCI layer says that it is one; it makes no sense as another.
result<std::shared_ptr<const layers::lsmt::layer>> open_any(const std::shared_ptr<blob_source>& source, bool& turbo) {
    auto layer = run_blocking(layers::lsmt::layer::open(source));
    if (layer || !layer.error().is(errc::corrupt)) return layer;
    auto over = run_blocking(layers::lsmt::layer::open_turbo(source, std::make_shared<unknown_target>()));
    turbo = over.has_value();
    return turbo ? over : layer;
}

result<void> inspect_read_only(std::shared_ptr<blob_source> source, const inspect_options& options, inspection& into) {
    bool turbo = false;
    TRY(const auto layer, open_any(source, turbo));
    const auto& trailer = layer->trailer();
    inspected_part part{.what = "lsmt", .fields = {}};
    add(part, "kind",
        turbo                                ? "committed, TurboOCI"
        : layer->header().has(flags::sealed) ? "committed"
                                             : "sealed in place");
    add(part, "sparse", yes_or_no(trailer.has(flags::sparse)));
    add_header(part, trailer);
    add(part, "index_offset", trailer.index_offset);
    add(part, "index_entries", trailer.index_entries);
    const auto sums = take_entries(layer->mappings(), options, into);
    add(part, "mappings", sums.count);
    add(part, "data_bytes", sums.data);
    add(part, "zeroed_bytes", sums.zeroed);
    into.parts.push_back(std::move(part));
    if (options.verify) {
        TRYV(read_whole(*source));
    }
    return {};
}

/// The journal of an append-only layer: entries in the order of writing.
result<void> inspect_journal(blob_source& source, const layers::lsmt::header_fields& header,
                             const inspect_options& options, inspection& into) {
    constexpr auto start = layers::lsmt::header_space_bytes;
    const auto count = (std::max(source.size().value, start) - start) / sizeof(layers::lsmt::index_entry);
    inspected_part part{.what = "lsmt_index", .fields = {}};
    add_header(part, header);
    add(part, "entries", count);
    index_sums sums;
    for (std::uint64_t at = 0; at < count;) {
        const auto some = std::min<std::uint64_t>(count - at, 65536);
        TRY(const auto raw, read_at(source, {start + at * 16}, some * 16));
        std::vector<layers::lsmt::packed_mapping> entries;
        for (std::uint64_t i = 0; i < some; ++i) {
            entries.push_back(layers::lsmt::from_disk(load<layers::lsmt::index_entry>(raw, i * 16)));
        }
        const auto more = take_entries(entries, options, into);
        sums.count += more.count;
        sums.data += more.data;
        sums.zeroed += more.zeroed;
        at += some;
    }
    add(part, "mappings", sums.count);
    add(part, "data_bytes", sums.data);
    add(part, "zeroed_bytes", sums.zeroed);
    into.parts.push_back(std::move(part));
    return {};
}

result<void> inspect_lsmt(std::shared_ptr<blob_source> source, const_bytes head, const inspect_options& options,
                          inspection& into) {
    TRY(const auto header, layers::lsmt::decode_header(head));
    if (!header.has(flags::data_file)) return inspect_journal(*source, header, options, into);
    if (header.has(flags::sealed)) return inspect_read_only(std::move(source), options, into);
    // A writable layer's data file, unless it was sealed: then a trailer ends it.
    const auto size = source->size().value;
    if (size >= 2 * layers::lsmt::header_space_bytes) {
        TRY(const auto tail, read_at(*source, {size - layers::lsmt::header_space_bytes}, head.size()));
        const auto trailer = layers::lsmt::decode_header(tail);
        if (trailer && trailer->has(flags::sealed)) return inspect_read_only(std::move(source), options, into);
    }
    inspected_part part{.what = "lsmt_data", .fields = {}};
    add(part, "kind", header.has(flags::sparse) ? "sparse" : "append-only");
    add_header(part, header);
    into.parts.push_back(std::move(part));
    return {};
}

result<std::shared_ptr<blob_source>> inspect_zfile(std::shared_ptr<blob_source> source, worker_pool& workers,
                                                   inspection& into) {
    TRY(auto reader, run_blocking(layers::zfile::reader::open(std::move(source), workers)));
    const auto& info = reader->info();
    inspected_part part{.what = "zfile", .fields = {}};
    add(part, "algorithm", layers::zfile::name_of(info.algo));
    add(part, "block_size", info.block_bytes);
    add(part, "checksums", yes_or_no(info.verify));
    add(part, "blocks", info.blocks);
    add(part, "original_size", info.original_size.value);
    add(part, "index_offset", info.index_offset);
    into.parts.push_back(std::move(part));
    return std::shared_ptr<blob_source>(std::move(reader));
}

result<void> inspect_trace(blob_source& source, inspection& into) {
    TRY(const auto head, read_at(source, {0}, trace_header_bytes));
    byte_reader reader(head);
    reader.skip(8);
    const auto bytes = reader.little<std::uint64_t>();
    const auto checksum = reader.little<std::uint32_t>();
    if (bytes % trace_record_bytes != 0 || bytes > most_trace_bytes ||
        bytes != source.size().value - trace_header_bytes) {
        return fail(errc::corrupt, "trace of " + std::to_string(bytes) + " bytes of records");
    }
    TRY(const auto records, read_at(source, {trace_header_bytes}, bytes));
    inspected_part part{.what = "trace", .fields = {}};
    add(part, "records", bytes / trace_record_bytes);
    std::uint64_t read = 0;
    for (std::uint64_t at = 0; at < bytes; at += trace_record_bytes) {
        byte_reader record(const_bytes(records).subspan(at + 8));
        read += record.little<std::uint64_t>();
    }
    add(part, "read_bytes", read);
    add(part, "checksum", yes_or_no(crc32c_raw(records, 0) == checksum) == "yes" ? "right" : "wrong");
    into.parts.push_back(std::move(part));
    return {};
}

/// Takes off the tar wrapper, if there is one.
result<std::shared_ptr<blob_source>> inspect_tar(std::shared_ptr<blob_source> source, inspection& into) {
    TRY(const auto payload, run_blocking(layers::tar::find_payload(*source)));
    if (!payload) return source;
    inspected_part part{.what = "tar", .fields = {}};
    add(part, "payload_offset", payload->offset.value);
    add(part, "payload_size", payload->size.value);
    into.parts.push_back(std::move(part));
    return std::shared_ptr<blob_source>(
        std::make_shared<layers::window_source>(std::move(source), payload->offset, payload->size));
}

}  // namespace

result<inspection> inspect(const std::filesystem::path& path, const inspect_options& options, worker_pool& workers) {
    inspection found;
    TRY(auto blob, layers::local_blob::open(path, workers));
    inspected_part whole{.what = "file", .fields = {}};
    add(whole, "name", path.string());
    add(whole, "size", blob->size().value);
    found.parts.push_back(std::move(whole));

    TRY(auto source, inspect_tar(std::move(blob), found));
    auto head_bytes = std::min<std::uint64_t>(source->size().value, layers::lsmt::header_space_bytes);
    TRY(auto head, read_at(*source, {0}, head_bytes));
    if (layers::zfile::has_magic(head)) {
        TRY(source, inspect_zfile(std::move(source), workers, found));
        head_bytes = std::min<std::uint64_t>(source->size().value, layers::lsmt::header_space_bytes);
        TRY(head, read_at(*source, {0}, head_bytes));
    }
    if (layers::lsmt::has_magic(head)) {
        TRYV(inspect_lsmt(source, head, options, found));
    } else if (head.size() >= trace_header_bytes && byte_reader(head).little<std::uint32_t>() == trace_magic) {
        TRYV(inspect_trace(*source, found));
    } else if (found.parts.size() == 1) {
        return fail(errc::unsupported, path.string() + ": neither tar, ZFile, LSMT nor trace");
    } else if (options.verify) {
        TRYV(read_whole(*source));
    }
    return found;
}

result<void> verify_zfile(const std::filesystem::path& path, worker_pool& workers) {
    inspection found;
    TRY(auto blob, layers::local_blob::open(path, workers));
    TRY(auto source, inspect_tar(std::move(blob), found));
    TRY(const auto reader, run_blocking(layers::zfile::reader::open(std::move(source), workers)));
    if (!reader->info().verify) return fail(errc::invalid_argument, path.string() + ": has no checksums");
    return read_whole(*reader);
}

}  // namespace obd::tools
