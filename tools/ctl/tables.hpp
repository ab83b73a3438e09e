// Text for people: tables, sizes, the lines to type next.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace obd::ctl {

/// "64.0 MiB", "512 B".
std::string human_size(std::uint64_t bytes);
/// "64M", "1.5G", "4096": bytes with an optional binary suffix K, M, G or T (also "MiB", "GB"). Nothing when it is
/// none.
bool parse_size(const std::string& text, std::uint64_t& bytes);

/// Columns as wide as their widest cell, two spaces between them, no space at line ends.
class table {
public:
    explicit table(std::vector<std::string> titles) { rows_.push_back(std::move(titles)); }
    void row(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
    std::string text() const;

private:
    std::vector<std::vector<std::string>> rows_;
};

}  // namespace obd::ctl
