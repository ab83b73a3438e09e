#include "layers/fs/tar_stream.hpp"

#include <archive.h>
#include <archive_entry.h>
#include <locale.h>
#include <sys/stat.h>

#include <limits>
#include <utility>

#include "layers/fs/archive_input.hpp"

namespace obd::fs {
namespace {

/// libarchive converts pax names from UTF-8 to the thread's character set: make that UTF-8, whatever the user's is.
class utf8_scope {
public:
    utf8_scope() : utf8_(::newlocale(LC_CTYPE_MASK, "C.UTF-8", locale_t{})) {
        if (utf8_ != locale_t{}) previous_ = ::uselocale(utf8_);
    }
    ~utf8_scope() {
        if (utf8_ == locale_t{}) return;
        ::uselocale(previous_);
        ::freelocale(utf8_);
    }
    utf8_scope(const utf8_scope&) = delete;
    utf8_scope& operator=(const utf8_scope&) = delete;

private:
    locale_t utf8_;
    locale_t previous_{};
};

/// The bytes as they stand in the archive; names that are no UTF-8 come from old headers unchanged.
std::string text_of(const char* bytes, const char* utf8) {
    if (bytes != nullptr) return bytes;
    return utf8 != nullptr ? utf8 : "";
}

std::optional<node_kind> kind_of(archive_entry* entry) {
    switch (archive_entry_filetype(entry)) {
        case AE_IFREG:
            return node_kind::file;
        case AE_IFDIR:
            return node_kind::directory;
        case AE_IFLNK:
            return node_kind::symlink;
        case AE_IFCHR:
            return node_kind::character_device;
        case AE_IFBLK:
            return node_kind::block_device;
        case AE_IFIFO:
            return node_kind::fifo;
        case AE_IFSOCK:
            return node_kind::socket;
        default:
            return std::nullopt;
    }
}

result<std::uint32_t> owner(la_int64_t id, const std::string& path) {
    // -1 means "no one" to the kernel.
    if (id < 0 || id >= std::numeric_limits<std::uint32_t>::max())
        return fail(errc::invalid_argument, path + ": owner " + std::to_string(id) + " is out of range");
    return static_cast<std::uint32_t>(id);
}

/// The name spaces that ext4 keeps; others belong to other systems and are left out, as other unpackers do.
bool is_kept(std::string_view name) {
    return name.starts_with("user.") || name.starts_with("security.") || name.starts_with("trusted.") ||
           name == "system.posix_acl_access" || name == "system.posix_acl_default";
}

extended_attributes xattrs_of(archive_entry* entry) {
    extended_attributes values;
    archive_entry_xattr_reset(entry);
    const char* name = nullptr;
    const void* value = nullptr;
    std::size_t bytes = 0;
    while (archive_entry_xattr_next(entry, &name, &value, &bytes) == ARCHIVE_OK)
        if (name != nullptr && is_kept(name)) values[name].assign(static_cast<const char*>(value), bytes);
    return values;
}

result<tar_entry> translate(archive_entry* from) {
    tar_entry entry;
    entry.path = text_of(archive_entry_pathname(from), archive_entry_pathname_utf8(from));
    if (entry.path.empty()) return fail(errc::corrupt, "a tar member has no readable name");
    entry.hard_link = text_of(archive_entry_hardlink(from), archive_entry_hardlink_utf8(from));
    if (!entry.hard_link.empty()) return entry;
    const auto kind = kind_of(from);
    if (!kind) return fail(errc::unsupported, entry.path + ": a tar member of unknown type");
    entry.node.kind = *kind;
    entry.node.attrs.permissions = static_cast<std::uint16_t>(archive_entry_perm(from) & 07777);
    TRY(entry.node.attrs.uid, owner(archive_entry_uid(from), entry.path));
    TRY(entry.node.attrs.gid, owner(archive_entry_gid(from), entry.path));
    entry.node.attrs.modified = {archive_entry_mtime(from), static_cast<std::uint32_t>(archive_entry_mtime_nsec(from))};
    entry.node.device = {static_cast<std::uint32_t>(archive_entry_rdevmajor(from)),
                         static_cast<std::uint32_t>(archive_entry_rdevminor(from))};
    if (*kind == node_kind::symlink)
        entry.node.symlink_target = text_of(archive_entry_symlink(from), archive_entry_symlink_utf8(from));
    if (*kind == node_kind::file && archive_entry_size_is_set(from)) {
        if (archive_entry_size(from) < 0) return fail(errc::corrupt, entry.path + ": negative size");
        entry.size = {static_cast<std::uint64_t>(archive_entry_size(from))};
    }
    entry.xattrs = xattrs_of(from);
    return entry;
}

}  // namespace

struct tar_stream::state {
    explicit state(byte_stream& from) : input(from) {}
    archive_input input;
    bool opened = false;
    std::string path;  ///< of the present member, for messages
};

tar_stream::tar_stream(byte_stream& from) : state_(std::make_unique<state>(from)) {}
tar_stream::~tar_stream() = default;

result<std::optional<tar_entry>> tar_stream::next() {
    const utf8_scope utf8;
    auto& input = state_->input;
    if (!state_->opened) {
        archive_read_support_format_tar(input.handle());
        TRYV(input.open());
        state_->opened = true;
    }
    archive_entry* found = nullptr;
    const auto code = archive_read_next_header(input.handle(), &found);
    if (code == ARCHIVE_EOF) return std::optional<tar_entry>();
    // A warning is about a character set or an unknown attribute; the member is complete.
    if (code != ARCHIVE_OK && code != ARCHIVE_WARN)
        return input.failed(state_->path.empty() ? "reading the tar" : "reading the tar behind " + state_->path);
    TRY(auto entry, translate(found));
    state_->path = entry.path;
    return std::optional(std::move(entry));
}

result<void> tar_stream::read_contents(const std::function<result<void>(byte_offset, const_bytes)>& take) {
    for (;;) {
        const void* bytes = nullptr;
        std::size_t count = 0;
        la_int64_t offset = 0;
        const auto code = archive_read_data_block(state_->input.handle(), &bytes, &count, &offset);
        if (code == ARCHIVE_EOF) return {};
        if (code != ARCHIVE_OK && code != ARCHIVE_WARN) return state_->input.failed("reading " + state_->path);
        if (count == 0) continue;
        TRYV(take({static_cast<std::uint64_t>(offset)}, {static_cast<const std::byte*>(bytes), count}));
    }
}

}  // namespace obd::fs
