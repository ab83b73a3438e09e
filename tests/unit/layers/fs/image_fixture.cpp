#include "tests/unit/layers/fs/image_fixture.hpp"

#include <catch2/catch.hpp>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iomanip>
#include <map>
#include <sstream>

#include "base/digest.hpp"
#include "layers/fs/byte_stream.hpp"
#include "layers/fs/ext4_mkfs.hpp"

namespace obd::fs::test {

command_outcome run_command(const std::string& command) {
    command_outcome outcome;
    std::FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
    if (pipe == nullptr) return outcome;
    std::array<char, 4096> buffer{};
    for (std::size_t count = 0; (count = std::fread(buffer.data(), 1, buffer.size(), pipe)) > 0;)
        outcome.output.append(buffer.data(), count);
    const int status = ::pclose(pipe);
    outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return outcome;
}

bool has_program(const std::string& name) {
    return run_command("PATH=$PATH:/usr/sbin:/sbin command -v " + name).status == 0;
}

ext4_image::ext4_image(byte_count size) : path_(directory_ / "disk.img") {
    std::ofstream(path_).close();
    std::filesystem::resize_file(path_, size.value);
    auto disk = open_file_disk(path_).value();
    make_ext4(*disk, {}).value();
    disk->flush().value();
}

result<apply_report> ext4_image::apply(const std::string& tar, apply_options options) {
    TRY(const auto disk, open_file_disk(path_));
    TRY(const auto volume, ext4_volume::open(*disk));
    const auto input = stream_of(as_bytes(tar));
    return apply_layer(*volume, *input, options);
}

std::string ext4_image::complaints() const {
    const auto outcome = run_command("PATH=$PATH:/usr/sbin:/sbin e2fsck -fn '" + path_.string() + "'");
    return outcome.status == 0 ? std::string() : outcome.output;
}

std::string ext4_image::debugfs(const std::string& command) const {
    return run_command("PATH=$PATH:/usr/sbin:/sbin debugfs -R '" + command + "' '" + path_.string() + "'").output;
}

std::string ext4_image::sha256() const {
    return run_command("sha256sum < '" + path_.string() + "'").output;
}

std::string contents(ext4_volume& volume, inode_number file) {
    std::string bytes(volume.status(file).value().size.value, '\0');
    volume.read(file, {0}, std::as_writable_bytes(std::span(bytes))).value();
    return bytes;
}

namespace {

const char* word_for(node_kind kind) {
    switch (kind) {
        case node_kind::file:
            return "file";
        case node_kind::directory:
            return "dir";
        case node_kind::character_device:
            return "char";
        case node_kind::block_device:
            return "block";
        case node_kind::fifo:
            return "fifo";
        case node_kind::socket:
            return "socket";
        case node_kind::symlink:
            return "symlink";
    }
    return "?";
}

std::string detail(ext4_volume& volume, inode_number node, const node_status& status) {
    if (status.kind == node_kind::symlink) return " -> " + volume.symlink_target(node).value();
    if (status.kind == node_kind::character_device || status.kind == node_kind::block_device)
        return " " + std::to_string(status.device.major) + "," + std::to_string(status.device.minor);
    if (status.kind != node_kind::file) return "";
    const auto bytes = contents(volume, node);
    return " " + std::to_string(bytes.size()) + " " + sha256_digest(as_bytes(bytes)).substr(7);
}

}  // namespace

std::vector<std::string> listing(ext4_volume& volume) {
    std::map<std::string, directory_entry> nodes;
    std::vector<std::pair<std::string, inode_number>> rest{{"", root_inode}};
    while (!rest.empty()) {
        const auto [prefix, number] = rest.back();
        rest.pop_back();
        for (const auto& entry : volume.list(number).value()) {
            const auto path = prefix + entry.name;
            if (path == "lost+found") continue;
            nodes.emplace(path, entry);
            if (entry.kind == node_kind::directory) rest.emplace_back(path + "/", entry.inode);
        }
    }
    std::map<inode_number, std::string> first_names;
    std::vector<std::string> lines;
    for (const auto& [path, entry] : nodes) {
        const auto status = volume.status(entry.inode).value();
        REQUIRE(status.kind == entry.kind);
        std::ostringstream line;
        line << path << " " << word_for(status.kind) << " " << std::oct << std::setfill('0') << std::setw(4)
             << status.attrs.permissions << std::dec << " " << status.attrs.uid << ":" << status.attrs.gid
             << detail(volume, entry.inode, status);
        for (const auto& [name, value] : volume.xattrs(entry.inode).value()) line << " " << name << "=" << value;
        const auto [first, added] = first_names.emplace(entry.inode, path);
        if (!added) line << " =" << first->second;
        lines.push_back(line.str());
    }
    return lines;
}

}  // namespace obd::fs::test
