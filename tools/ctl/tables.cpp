#include "tools/ctl/tables.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <string_view>

namespace obd::ctl {

std::string human_size(std::uint64_t bytes) {
    constexpr std::array units{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    if (bytes < 1024) return std::to_string(bytes) + " B";
    auto value = static_cast<double>(bytes);
    std::size_t unit = 0;
    while (value >= 1024 && unit + 1 < units.size()) {
        value /= 1024;
        ++unit;
    }
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "%.1f %s", value, units[unit]);
    return text.data();
}

bool parse_size(const std::string& text, std::uint64_t& bytes) {
    double number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{} || !std::isfinite(number) || number < 0) return false;
    std::string_view suffix(end, static_cast<std::size_t>(text.data() + text.size() - end));
    for (const std::string_view tail : {"iB", "B"}) {
        if (suffix.size() > tail.size() && suffix.ends_with(tail)) suffix.remove_suffix(tail.size());
    }
    constexpr std::string_view letters = "KMGT";
    double factor = 1;
    if (!suffix.empty()) {
        const auto letter = static_cast<char>(suffix[0] >= 'a' ? suffix[0] - 'a' + 'A' : suffix[0]);
        const auto place = letters.find(letter);
        if (suffix.size() != 1 || place == std::string_view::npos) return false;
        factor = std::ldexp(1.0, static_cast<int>(place + 1) * 10);
    }
    const double product = number * factor;
    if (product >= 9.2e18) return false;
    bytes = static_cast<std::uint64_t>(product);
    return true;
}

std::string table::text() const {
    std::vector<std::size_t> widths;
    for (const auto& row : rows_) {
        widths.resize(std::max(widths.size(), row.size()));
        for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
    }
    std::string out;
    for (const auto& row : rows_) {
        std::string line;
        for (std::size_t i = 0; i < row.size(); ++i) {
            line += row[i];
            if (i + 1 < row.size()) line.append(widths[i] - row[i].size() + 2, ' ');
        }
        line.erase(line.find_last_not_of(' ') + 1);
        out += line + "\n";
    }
    return out;
}

}  // namespace obd::ctl
