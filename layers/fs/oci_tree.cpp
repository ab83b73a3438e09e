#include "layers/fs/oci_tree.hpp"

#include <deque>
#include <utility>

namespace obd::fs {
namespace {

constexpr int most_symlinks = 40;           // as the kernel
constexpr std::size_t longest_path = 4096;  // PATH_MAX: nobody could open a longer one

/// The components of a path without "" and ".".
std::deque<std::string> split(std::string_view path) {
    std::deque<std::string> parts;
    while (!path.empty()) {
        const auto slash = path.find('/');
        const auto part = path.substr(0, slash);
        if (!part.empty() && part != ".") parts.emplace_back(part);
        path = slash == path.npos ? std::string_view() : path.substr(slash + 1);
    }
    return parts;
}

/// ".." taken away by the text alone; above the root there is nothing.
std::deque<std::string> cleaned(std::string_view path) {
    std::deque<std::string> clean;
    for (auto& part : split(path)) {
        if (part != "..")
            clean.push_back(std::move(part));
        else if (!clean.empty())
            clean.pop_back();
    }
    return clean;
}

}  // namespace

result<oci_tree::place> oci_tree::find(std::string_view path) {
    return walk(path, missing::refuse, {});
}

result<oci_tree::place> oci_tree::find_or_make(std::string_view path, timestamp modified) {
    return walk(path, missing::make, modified);
}

result<oci_tree::place> oci_tree::walk(std::string_view path, missing what, timestamp modified) {
    if (path.size() > longest_path) return fail(errc::invalid_argument, "a path is longer than 4096 bytes");
    auto rest = cleaned(path);
    if (rest.empty()) return place{};
    const auto last = std::move(rest.back());
    rest.pop_back();
    std::vector<inode_number> way{root_inode};
    for (int followed = 0; !rest.empty();) {
        const place here{way.back(), std::move(rest.front())};
        rest.pop_front();
        if (here.name == "..") {  // from a symbolic link
            if (way.size() > 1) way.pop_back();
            continue;
        }
        TRY(const auto found, volume_.find(here.directory, here.name));
        if (!found) {
            if (what == missing::refuse) return fail(errc::not_found, std::string(path));
            const new_node implied{node_kind::directory, {0755, 0, 0, modified}, {}, {}};
            TRY(const auto made, volume_.make(here.directory, here.name, implied));
            way.push_back(made);
        } else if (found->kind == node_kind::symlink) {
            if (++followed > most_symlinks)
                return fail(errc::invalid_argument, std::string(path) + ": symbolic links in a circle");
            TRY(const auto target, volume_.symlink_target(found->inode));
            auto parts = split(target);
            rest.insert(rest.begin(), parts.begin(), parts.end());
            if (target.starts_with('/')) way.resize(1);
            continue;
        } else if (found->kind == node_kind::directory) {
            way.push_back(found->inode);
        } else {
            return fail(errc::invalid_argument, std::string(path) + ": " + here.name + " is no directory");
        }
        if (what == missing::make) mark(here);
    }
    return place{way.back(), last};
}

result<bool> oci_tree::contains(inode_number above, inode_number directory) {
    for (auto number = directory; number != above;) {
        if (number == root_inode) return false;
        TRY(number, volume_.parent_of(number));
    }
    return true;
}

result<void> oci_tree::remove(const place& where) {
    std::vector<inode_number> removed;
    auto outcome = volume_.remove(where.directory, where.name, &removed);
    if (!outcome) {
        if (outcome.error().is(errc::not_found)) return {};
        return outcome;
    }
    placed_.erase(key(where));
    if (removed.empty()) return {};
    // Their inode numbers may be used again, for directories in which nothing is marked yet.
    const std::unordered_set<inode_number> gone(removed.begin(), removed.end());
    std::erase_if(placed_, [&gone](const std::string& entry) {
        return gone.contains(static_cast<inode_number>(std::stoul(entry)));
    });
    return {};
}

result<void> oci_tree::clear_lower(inode_number directory) {
    std::vector<inode_number> rest{directory};
    while (!rest.empty()) {
        const auto number = rest.back();
        rest.pop_back();
        TRY(const auto entries, volume_.list(number));
        for (const auto& entry : entries) {
            const place child{number, entry.name};
            if (!is_marked(child)) {
                TRYV(remove(child));
            } else if (entry.kind == node_kind::directory)
                rest.push_back(entry.inode);
        }
    }
    return {};
}

}  // namespace obd::fs
