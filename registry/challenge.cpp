#include "registry/challenge.hpp"

#include <algorithm>
#include <optional>

namespace obd::registry {
namespace {

bool is_token_char(char c) {
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) return true;
    return std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

bool is_token68_char(char c) {
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) return true;
    return std::string_view("-._~+/").find(c) != std::string_view::npos;
}

std::string lower(std::string_view text) {
    std::string out(text);
    std::transform(out.begin(), out.end(), out.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
    return out;
}

class scanner {
public:
    explicit scanner(std::string_view text) : rest_(text) {}

    bool at_end() const { return rest_.empty(); }
    bool next_is(char c) const { return !rest_.empty() && rest_.front() == c; }
    void advance() { rest_.remove_prefix(1); }
    void skip_space() {
        while (next_is(' ') || next_is('\t')) advance();
    }
    void skip_list_separators() {
        while (next_is(' ') || next_is('\t') || next_is(',')) advance();
    }
    std::string_view token() {
        const auto end = std::find_if_not(rest_.begin(), rest_.end(), is_token_char);
        return take(static_cast<std::size_t>(end - rest_.begin()));
    }
    /// "abc==" that is a whole list element; a parameter's "name=value" is not.
    std::optional<std::string_view> token68() {
        std::size_t end = 0;
        while (end < rest_.size() && is_token68_char(rest_[end])) ++end;
        if (end == 0) return std::nullopt;
        while (end < rest_.size() && rest_[end] == '=') ++end;
        const auto after = rest_.find_first_not_of(" \t", end);
        if (after != std::string_view::npos && rest_[after] != ',') return std::nullopt;
        return take(end);
    }
    /// A token or a quoted string (RFC 9110 §5.6.4).
    std::optional<std::string> value() {
        if (!next_is('"')) {
            const auto plain = token();
            if (plain.empty()) return std::nullopt;
            return std::string(plain);
        }
        advance();
        std::string out;
        while (!at_end()) {
            if (next_is('"')) {
                advance();
                return out;
            }
            if (next_is('\\') && rest_.size() > 1) advance();
            out += rest_.front();
            advance();
        }
        return std::nullopt;
    }

private:
    std::string_view take(std::size_t count) {
        const auto front = rest_.substr(0, count);
        rest_.remove_prefix(count);
        return front;
    }
    std::string_view rest_;
};

}  // namespace

std::string challenge::param(std::string_view name) const {
    const auto found = params.find(std::string(name));
    return found == params.end() ? std::string() : found->second;
}

std::vector<challenge> parse_challenges(std::string_view value) {
    std::vector<challenge> out;
    scanner in(value);
    for (in.skip_list_separators(); !in.at_end(); in.skip_list_separators()) {
        const auto name = in.token();
        if (name.empty()) break;
        in.skip_space();
        if (in.next_is('=')) {  // a further parameter of the challenge before it
            if (out.empty()) break;
            in.advance();
            in.skip_space();
            auto text = in.value();
            if (!text) break;
            out.back().params.insert_or_assign(lower(name), std::move(*text));
            continue;
        }
        out.push_back({.scheme = lower(name), .params = {}, .token68 = {}});
        if (const auto blob = in.token68()) out.back().token68 = std::string(*blob);
    }
    return out;
}

std::vector<std::string> split_scopes(std::string_view scope) {
    std::vector<std::string> out;
    while (true) {
        const auto start = scope.find_first_not_of(' ');
        if (start == std::string_view::npos) return out;
        scope.remove_prefix(start);
        const auto end = std::min(scope.find(' '), scope.size());
        out.emplace_back(scope.substr(0, end));
        scope.remove_prefix(end);
    }
}

}  // namespace obd::registry
