#include "tests/unit/layers/fs/tar_builder.hpp"

#include <array>
#include <cstdio>
#include <cstring>

namespace obd::fs::test {
namespace {

void put_octal(char* at, std::size_t width, std::uint64_t value) {
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "%0*llo", static_cast<int>(width - 1),
                  static_cast<unsigned long long>(value));
    std::memcpy(at, text.data(), width - 1);
}

std::string pax_record(const std::string& key, const std::string& value) {
    const std::string rest = " " + key + "=" + value + "\n";
    std::size_t length = rest.size();
    while (std::to_string(length).size() + rest.size() != length) length = std::to_string(length).size() + rest.size();
    return std::to_string(length) + rest;
}

}  // namespace

void tar_builder::header(const member& what, std::uint64_t size) {
    std::array<char, 512> block{};
    std::memcpy(&block[0], what.name.data(), std::min<std::size_t>(what.name.size(), 100));
    put_octal(&block[100], 8, what.mode);
    put_octal(&block[108], 8, what.uid);
    put_octal(&block[116], 8, what.gid);
    put_octal(&block[124], 12, size);
    put_octal(&block[136], 12, what.mtime);
    std::memset(&block[148], ' ', 8);
    block[156] = what.type;
    std::memcpy(&block[157], what.link.data(), std::min<std::size_t>(what.link.size(), 100));
    std::memcpy(&block[257], "ustar\00000", 8);
    put_octal(&block[329], 8, what.major);
    put_octal(&block[337], 8, what.minor);
    std::uint64_t sum = 0;
    for (const char c : block) sum += static_cast<unsigned char>(c);
    put_octal(&block[148], 7, sum);
    bytes_.append(block.data(), block.size());
}

void tar_builder::payload(std::string_view data) {
    bytes_ += data;
    bytes_.append((512 - data.size() % 512) % 512, '\0');
}

tar_builder& tar_builder::add(const member& what) {
    if (!what.pax.empty()) {
        std::string records;
        for (const auto& [key, value] : what.pax) records += pax_record(key, value);
        header({.name = "PaxHeaders/x", .type = 'x'}, records.size());
        payload(records);
    }
    header(what, what.data.size());
    payload(what.data);
    return *this;
}

}  // namespace obd::fs::test
