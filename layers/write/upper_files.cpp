#include "layers/write/upper_files.hpp"

#include <array>
#include <utility>

#include "base/limits.hpp"
#include "layers/lsmt/header.hpp"
#include "layers/write/lsmt_encode.hpp"
#include "layers/write/uuid.hpp"

namespace obd::layers {
namespace {

namespace flags = lsmt::flag;
constexpr std::size_t entries_a_sector = sector_bytes / sizeof(lsmt::index_entry);

lsmt::header_content data_header(const upper_identity& identity) {
    const auto sparse = identity.kind == upper_kind::sparse ? flags::sparse : 0;
    return {.flags = flags::header | flags::data_file | sparse,
            .index_offset = 0,
            .index_entries = 0,
            .virtual_size = identity.virtual_size,
            .uuid = identity.uuid,
            .parent_uuid = identity.parent_uuid,
            .user_tag = identity.user_tag};
}

lsmt::header_content index_header(const upper_identity& identity) {
    auto header = data_header(identity);
    header.flags = flags::header;
    header.index_offset = lsmt::header_space_bytes;
    return header;
}

result<lsmt::header_fields> read_header(file& from) {
    std::array<std::byte, lsmt::header_struct_bytes> raw{};
    TRYV(from.read({0}, raw));
    auto header = lsmt::decode_header(raw);
    if (!header) return in_context(std::move(header).error(), from.name());
    if (!header->has(flags::header)) return fail(errc::corrupt, from.name() + ": begins with a trailer, not a header");
    return header;
}

result<void> check_index_header(const lsmt::header_fields& header, const std::string& name) {
    if (header.has(flags::data_file)) return fail(errc::corrupt, name + ": is a data file, not an index");
    if (header.has(flags::sealed)) return fail(errc::corrupt, name + ": is sealed");
    if (header.index_offset != lsmt::header_space_bytes) {
        return fail(errc::corrupt, name + ": index offset " + std::to_string(header.index_offset) + ", not 4096");
    }
    return {};
}

upper_identity identity_of(const lsmt::header_fields& header, upper_kind kind) {
    return {.kind = kind,
            .virtual_size = {align_down(header.virtual_size.value, sector_bytes)},
            .uuid = header.uuid,
            .parent_uuid = header.parent_uuid,
            .user_tag = header.user_tag};
}

result<void> make_files(file_system& files, const create_upper_options& options, const upper_identity& identity) {
    TRY(const auto data, files.open(options.paths.data, open_mode::create));
    TRYV(data->write({0}, lsmt::encode_header(data_header(identity))));
    TRY(const auto index, files.open(options.paths.index, open_mode::create));
    if (identity.kind == upper_kind::sparse) {
        if (data->block_bytes() > lsmt::header_space_bytes) {
            // The header would share its block with the beginning of the disk, and make that data.
            return fail(errc::unsupported, data->name() + ": the file system allocates blocks of " +
                                               std::to_string(data->block_bytes()) +
                                               " bytes; a sparse layer wants 4096 (make it append-only)");
        }
        TRYV(data->resize({lsmt::header_space_bytes + identity.virtual_size.value}));
    } else {
        TRYV(index->write({0}, lsmt::encode_header(index_header(identity))));
    }
    TRYV(data->sync());
    TRYV(index->sync());
    TRYV(files.sync_directory_of(options.paths.data));
    return files.sync_directory_of(options.paths.index);
}

}  // namespace

result<void> create_upper_in(file_system& files, const create_upper_options& options) {
    const upper_identity identity{.kind = options.kind,
                                  .virtual_size = options.virtual_size,
                                  .uuid = options.uuid.empty() ? random_uuid() : options.uuid,
                                  .parent_uuid = options.parent_uuid,
                                  .user_tag = {}};
    TRYV(lsmt::check(data_header(identity)));
    for (const auto& path : {options.paths.data, options.paths.index}) {
        TRY(const bool there, files.exists(path));
        if (there) return fail(errc::already_exists, path.string());
    }
    auto made = make_files(files, options, identity);
    if (!made) {
        static_cast<void>(files.remove(options.paths.data));
        static_cast<void>(files.remove(options.paths.index));
    }
    return made;
}

result<upper_files> open_upper_files(const upper_opening& how) {
    const bool writable = how.mode == upper_opening::access::read_write;
    const auto mode = writable ? open_mode::existing : open_mode::read_only;
    upper_files opened;
    TRY(opened.data, how.files->open(how.paths.data, mode));
    TRY(const auto header, read_header(*opened.data));
    if (!header.has(flags::data_file)) return fail(errc::corrupt, opened.data->name() + ": is no data file");
    if (header.has(flags::sealed)) {
        return fail(errc::read_only, opened.data->name() + ": is a committed layer, it cannot be written");
    }
    opened.identity = identity_of(header, header.has(flags::sparse) ? upper_kind::sparse : upper_kind::append_only);
    if (opened.identity.kind == upper_kind::append_only) {
        TRY(opened.index, how.files->open(how.paths.index, mode));
        TRY(const auto index, read_header(*opened.index));
        TRYV(check_index_header(index, opened.index->name()));
        opened.identity = identity_of(index, upper_kind::append_only);
    }
    if (opened.identity.virtual_size.value == 0 && how.inherited_size.value != 0) {
        opened.identity.virtual_size = how.inherited_size;
        if (writable) {
            TRYV(rewrite_headers(opened));
        }
    }
    return opened;
}

result<void> rewrite_headers(const upper_files& files) {
    TRYV(files.data->write({0}, lsmt::encode_header(data_header(files.identity))));
    TRYV(files.data->sync());
    if (!files.index) return {};
    TRYV(files.index->write({0}, lsmt::encode_header(index_header(files.identity))));
    return files.index->sync();
}

result<void> write_seal(const sealing& what, std::span<const lsmt::packed_mapping> index) {
    if (index.size() > limits::lsmt_entries_per_layer) {
        return fail(errc::limit_exceeded, what.data.name() + ": " + std::to_string(index.size()) +
                                              " index entries; a sealed layer holds at most " +
                                              std::to_string(limits::lsmt_entries_per_layer));
    }
    auto bytes = lsmt::encode_index(index, entries_a_sector);
    std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(index.size() * sizeof(lsmt::index_entry)), bytes.end(),
              std::byte{0});
    auto trailer = data_header(what.identity);
    trailer.flags = (trailer.flags & ~flags::header) | flags::sealed;
    trailer.index_offset = what.end.value;
    trailer.index_entries = index.size();
    TRYV(what.data.write(what.end, bytes));
    const byte_offset trailer_at{what.end.value + bytes.size()};
    TRYV(what.data.write(trailer_at, lsmt::encode_header(trailer)));
    TRYV(what.data.resize({trailer_at.value + lsmt::header_space_bytes}));
    return what.data.sync();
}

}  // namespace obd::layers
