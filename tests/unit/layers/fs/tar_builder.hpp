// Tar archives for tests, byte by byte: also those that no sane program writes.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace obd::fs::test {

struct member {
    std::string name;
    char type = '0';
    std::string data{};
    std::string link{};
    std::uint32_t mode = 0644;
    std::uint64_t uid = 0, gid = 0;
    std::uint64_t mtime = 1'700'000'000;
    std::uint32_t major = 0, minor = 0;
    std::map<std::string, std::string> pax{};  ///< records in a pax header of its own in front
};

class tar_builder {
public:
    tar_builder& add(const member& what);
    tar_builder& file(std::string name, std::string data) {
        return add({.name = std::move(name), .data = std::move(data)});
    }
    tar_builder& dir(std::string name, std::uint32_t mode = 0755) {
        return add({.name = std::move(name), .type = '5', .mode = mode});
    }
    tar_builder& symlink(std::string name, std::string target) {
        return add({.name = std::move(name), .type = '2', .link = std::move(target), .mode = 0777});
    }
    tar_builder& hard_link(std::string name, std::string target) {
        return add({.name = std::move(name), .type = '1', .link = std::move(target)});
    }
    tar_builder& whiteout(std::string name) { return file(std::move(name), ""); }
    /// With the two blocks of zeros at the end.
    std::string finish() const { return bytes_ + std::string(1024, '\0'); }
    /// Without them.
    const std::string& so_far() const { return bytes_; }

private:
    void header(const member& what, std::uint64_t size);
    void payload(std::string_view data);
    std::string bytes_;
};

}  // namespace obd::fs::test
