#include "layers/fs/oci_apply.hpp"

#include <algorithm>
#include <utility>

#include "layers/fs/oci_tree.hpp"
#include "layers/fs/tar_stream.hpp"

namespace obd::fs {
namespace {

constexpr std::uint64_t tar_block_bytes = 512;
constexpr std::string_view whiteout_prefix = ".wh.";
constexpr std::string_view opaque_name = ".wh..wh..opq";
constexpr std::string_view reserved_prefix = ".wh..wh.";  // what AUFS kept for itself: says nothing about the content

std::string_view last_component(std::string_view path) {
    while (path.ends_with('/')) path.remove_suffix(1);
    const auto slash = path.rfind('/');
    return slash == path.npos ? path : path.substr(slash + 1);
}

class layer_unpacker {
public:
    layer_unpacker(ext4_volume& volume, tar_stream& tar, apply_report& report, const apply_options& options)
        : volume_(volume), tree_(volume), tar_(tar), report_(report), options_(options) {}

    result<void> unpack(const tar_entry& entry) {
        ++report_.members;
        if (last_component(entry.path).starts_with(whiteout_prefix)) return whiteout(entry.path);
        if (!entry.hard_link.empty()) return hard_link(entry);
        TRY(const auto where, tree_.find_or_make(entry.path, entry.node.attrs.modified));
        if (where.name.empty()) return root(entry);
        return node(entry, where);
    }

private:
    /// "Whiteout files MUST only apply to resources in lower/parent layers."
    result<void> whiteout(const std::string& path) {
        ++report_.whiteouts;
        auto found = tree_.find(path);
        if (!found) {
            if (found.error().is(errc::not_found)) return {};
            return std::move(found).error();
        }
        const auto directory = found->directory;
        if (found->name == opaque_name) return tree_.clear_lower(directory);
        if (found->name.starts_with(reserved_prefix)) return {};
        const oci_tree::place hidden{directory, found->name.substr(whiteout_prefix.size())};
        if (hidden.name.empty() || hidden.name == "." || hidden.name == "..")
            return fail(errc::invalid_argument, "a whiteout that names no file");
        if (!tree_.is_marked(hidden)) return tree_.remove(hidden);
        TRY(const auto present, volume_.find(hidden.directory, hidden.name));
        if (present && present->kind == node_kind::directory) return tree_.clear_lower(present->inode);
        return {};
    }

    result<void> hard_link(const tar_entry& entry) {
        TRY(const auto target, tree_.find(entry.hard_link));
        TRY(const auto existing, volume_.find(target.directory, target.name));
        if (!existing) return fail(errc::not_found, "hard link to " + entry.hard_link + ", which is not there");
        if (existing->kind == node_kind::directory)
            return fail(errc::invalid_argument, "hard link to " + entry.hard_link + ", which is a directory");
        TRY(const auto where, tree_.find_or_make(entry.path, timestamp{}));
        if (where.name.empty()) return fail(errc::invalid_argument, "hard link in place of the root");
        TRY(const auto present, volume_.find(where.directory, where.name));
        const bool same = present && present->inode == existing->inode;
        if (!same) {
            // Not in place of a directory above its target: that would free what the link is to name.
            TRY(const bool above, tree_.contains(present ? present->inode : 0, target.directory));
            if (above)
                return fail(errc::invalid_argument, "hard link takes the place of its target " + entry.hard_link);
            TRYV(tree_.remove(where));
            TRYV(volume_.link(where.directory, where.name, existing->inode));
        }
        tree_.mark(where);
        return {};
    }

    result<void> root(const tar_entry& entry) {
        if (entry.node.kind != node_kind::directory)
            return fail(errc::invalid_argument, "something else in place of the root");
        TRYV(volume_.set_attributes(root_inode, entry.node.attrs));
        return volume_.set_xattrs(root_inode, entry.xattrs);
    }

    result<void> node(const tar_entry& entry, const oci_tree::place& where) {
        TRY(const auto present, volume_.find(where.directory, where.name));
        tree_.mark(where);
        // "If … both are directories … the existing one's attributes are replaced"; all else is replaced as a whole.
        if (present && present->kind == node_kind::directory && entry.node.kind == node_kind::directory) {
            TRYV(volume_.set_attributes(present->inode, entry.node.attrs));
            return volume_.set_xattrs(present->inode, entry.xattrs);
        }
        if (present) {
            TRYV(tree_.remove(where));
            tree_.mark(where);
        }
        TRY(const auto made, volume_.make(where.directory, where.name, entry.node));
        TRYV(volume_.set_xattrs(made, entry.xattrs));
        if (entry.node.kind != node_kind::file || entry.size.value == 0) return {};
        return contents(entry, made);
    }

    result<void> contents(const tar_entry& entry, inode_number file) {
        file_writer writer(volume_, file);
        if (options_.map_contents && entry.contents_at) return map_contents(entry, writer);
        const auto take = [&](byte_offset offset, const_bytes bytes) -> result<void> {
            if (!within(offset, {bytes.size()}, entry.size))
                return fail(errc::corrupt, "more bytes than its size says");
            report_.content_bytes += bytes.size();
            return writer.write(offset, bytes);
        };
        TRYV(tar_.read_contents(take));
        return writer.finish(entry.size);
    }

    result<void> map_contents(const tar_entry& entry, file_writer& writer) {
        const auto padded = align_up(entry.size.value, tar_block_bytes);
        const auto begin = entry.contents_at->value;
        if (begin % tar_block_bytes != 0) return fail(errc::corrupt, "its contents begin within a block of the tar");
        report_.content_bytes += entry.size.value;
        TRYV(writer.allocate(entry.size, [&](const file_writer::disk_range& range) {
            const auto count = std::min(range.count.value, padded - range.in_file.value);
            return options_.map_contents(
                {.on_disk = range.on_disk, .in_tar = {begin + range.in_file.value}, .count = {count}});
        }));
        return writer.finish(entry.size);
    }

    ext4_volume& volume_;
    oci_tree tree_;
    tar_stream& tar_;
    apply_report& report_;
    const apply_options& options_;
};

}  // namespace

result<apply_report> apply_layer(ext4_volume& volume, byte_stream& layer, const apply_options& options) {
    apply_report report;
    const auto plain = decompressed(layer);
    digest_stream counted(*plain);
    const auto ahead = read_ahead(counted);
    tar_stream tar(*ahead);
    layer_unpacker unpacker(volume, tar, report, options);
    for (;;) {
        TRY(const auto entry, tar.next());
        if (!entry) break;
        if (auto unpacked = unpacker.unpack(*entry); !unpacked)
            return in_context(std::move(unpacked).error(), entry->path);
        if (options.progress) options.progress(report.content_bytes);
    }
    // Padding behind the end counts for the digest.
    TRYV(drain(*ahead));
    report.digest = std::move(counted).finish_digest();
    if (!options.expected_digest.empty() && options.expected_digest != report.digest)
        return fail(errc::corrupt, "the layer's digest is " + report.digest + ", not " + options.expected_digest);
    TRYV(volume.sync());
    return report;
}

}  // namespace obd::fs
