#include "layers/fs/tar_stream.hpp"

#include <archive.h>
#include <archive_entry.h>
#include <locale.h>
#include <sys/stat.h>

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "base/bytes.hpp"
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

/// One entry of a POSIX ACL as ext4 and getxattr(2) have it.
struct acl_entry {
    std::uint16_t tag, permissions;
    std::uint32_t id;
    auto operator<=>(const acl_entry&) const = default;
};
constexpr std::uint16_t acl_mask = 0x10;

/// The kernel's number for the tag; nothing for one that POSIX.1e does not have. linux/posix_acl_xattr.h.
std::optional<std::uint16_t> acl_tag(int tag) {
    constexpr std::pair<int, std::uint16_t> known[] = {
        {ARCHIVE_ENTRY_ACL_USER_OBJ, 0x01}, {ARCHIVE_ENTRY_ACL_USER, 0x02},     {ARCHIVE_ENTRY_ACL_GROUP_OBJ, 0x04},
        {ARCHIVE_ENTRY_ACL_GROUP, 0x08},    {ARCHIVE_ENTRY_ACL_MASK, acl_mask}, {ARCHIVE_ENTRY_ACL_OTHER, 0x20}};
    for (const auto& [theirs, kernel] : known)
        if (theirs == tag) return kernel;
    return std::nullopt;
}

/// An ACL that came as pax text (SCHILY.acl.access, .default), in the kernel's order. Empty: there is none, or it names
/// somebody without a number, whom nobody here could look up.
std::vector<acl_entry> acl_of(archive_entry* from, int which) {
    std::vector<acl_entry> entries;
    archive_entry_acl_reset(from, which);
    int type = 0, permissions = 0, tag = 0, id = -1;
    const char* name = nullptr;
    bool extended = which == ARCHIVE_ENTRY_ACL_TYPE_DEFAULT;
    while (archive_entry_acl_next(from, which, &type, &permissions, &tag, &id, &name) == ARCHIVE_OK) {
        const auto kernel_tag = acl_tag(tag);
        const bool named = tag == ARCHIVE_ENTRY_ACL_USER || tag == ARCHIVE_ENTRY_ACL_GROUP;
        if (!kernel_tag || (named && id < 0)) return {};
        extended = extended || named || tag == ARCHIVE_ENTRY_ACL_MASK;
        entries.push_back({*kernel_tag, static_cast<std::uint16_t>(permissions & 7),
                           named ? static_cast<std::uint32_t>(id) : UINT32_MAX});
    }
    if (!extended) return {};  // the permission bits say it all
    std::ranges::sort(entries);
    return entries;
}

std::string encode_acl(const std::vector<acl_entry>& entries) {
    byte_writer value;
    value.little(std::uint32_t{2});  // the version of this form
    for (const auto& entry : entries) value.little(entry.tag).little(entry.permissions).little(entry.id);
    const auto bytes = std::move(value).finish();
    return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

void add_acls(archive_entry* from, tar_entry& to) {
    constexpr std::pair<int, const char*> kinds[] = {{ARCHIVE_ENTRY_ACL_TYPE_ACCESS, "system.posix_acl_access"},
                                                     {ARCHIVE_ENTRY_ACL_TYPE_DEFAULT, "system.posix_acl_default"}};
    for (const auto& [which, name] : kinds) {
        if (to.xattrs.contains(name) || archive_entry_acl_count(from, which) == 0) continue;
        const auto entries = acl_of(from, which);
        if (entries.empty()) continue;
        to.xattrs[name] = encode_acl(entries);
        const auto mask = std::ranges::find(entries, acl_mask, &acl_entry::tag);
        if (which != ARCHIVE_ENTRY_ACL_TYPE_ACCESS || mask == entries.end()) continue;
        // acl(5): with a mask, the group bits of the mode are the mask.
        auto& bits = to.node.attrs.permissions;
        bits = static_cast<std::uint16_t>((bits & ~070) | mask->permissions << 3);
    }
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
    add_acls(from, entry);
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
    // The reader stands behind the member's headers now. Sparse members have a map instead of the zeros in between.
    if (entry.node.kind == node_kind::file && archive_entry_sparse_count(found) == 0)
        entry.contents_at = {static_cast<std::uint64_t>(archive_filter_bytes(input.handle(), 0))};
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
