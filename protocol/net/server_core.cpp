#include "protocol/net/server_core.hpp"

#include <algorithm>

namespace obd::iscsi {
namespace {

// Addresses with wrong secrets that are remembered. When they are more, all are forgiven: a table that an attacker can
// fill must not keep the others out.
constexpr std::size_t remembered_failures = 4096;
constexpr std::chrono::milliseconds first_penalty{100};
constexpr unsigned most_doublings = 6;
constexpr unsigned warnings_a_second = 20;

}  // namespace

target::target(target_options with, scsi::target_port port)
    : options(std::move(with)),
      inventory(std::make_shared<scsi::lun_inventory>(port)),
      apart(options.per_initiator ? std::make_shared<initiator_table>(options.per_initiator, port) : nullptr),
      redirect_(options.redirect) {}

std::optional<redirection> target::moved() const {
    const std::lock_guard lock(mutex_);
    return redirect_;
}

void target::set_redirect(std::optional<redirection> to) {
    const std::lock_guard lock(mutex_);
    redirect_ = std::move(to);
}

bool target::admits(std::string_view initiator) const {
    const auto& allowed = options.allowed_initiators;
    return allowed.empty() || std::find(allowed.begin(), allowed.end(), initiator) != allowed.end();
}

session_info session_record::snapshot() const {
    session_info now = info;
    now.commands = commands.load(std::memory_order_relaxed);
    now.read_bytes = read_bytes.load(std::memory_order_relaxed);
    now.written_bytes = written_bytes.load(std::memory_order_relaxed);
    return now;
}

bool server_core::may_warn() {
    const auto since = std::chrono::steady_clock::now().time_since_epoch();
    const auto second = std::chrono::duration_cast<std::chrono::seconds>(since).count();
    if (warning_second_.exchange(second) != second) warnings_ = 0;
    return warnings_.fetch_add(1) < warnings_a_second;
}

result<void> server_core::add_target(target_options with) {
    const auto name = normalise_name(with.name);
    if (!name) return fail(errc::invalid_argument, "target \"" + with.name + "\": not an iSCSI name");
    with.name = *name;
    for (auto& initiator : with.allowed_initiators) {
        const auto folded = normalise_name(initiator);
        if (!folded) return fail(errc::invalid_argument, "initiator \"" + initiator + "\": not an iSCSI name");
        initiator = *folded;
    }
    scsi::target_port port;
    port.name = *name;
    port.portal_group_tag = options.portal_group_tag;
    port.relative_port = options.portal_group_tag;
    auto made = std::make_shared<target>(std::move(with), std::move(port));
    const std::lock_guard lock(mutex_);
    if (!targets_.emplace(*name, std::move(made)).second) return fail(errc::already_exists, "target " + *name);
    return {};
}

std::shared_ptr<target> server_core::find_target(std::string_view name) const {
    const std::lock_guard lock(mutex_);
    const auto found = targets_.find(name);
    return found == targets_.end() ? nullptr : found->second;
}

std::shared_ptr<target> server_core::drop_target(std::string_view name) {
    const std::lock_guard lock(mutex_);
    const auto found = targets_.find(name);
    if (found == targets_.end()) return nullptr;
    auto dropped = std::move(found->second);
    targets_.erase(found);
    return dropped;
}

std::vector<std::shared_ptr<target>> server_core::visible_to(std::string_view initiator) const {
    const std::lock_guard lock(mutex_);
    std::vector<std::shared_ptr<target>> visible;
    for (const auto& [name, one] : targets_) {
        if (!one->closing && one->admits(initiator)) visible.push_back(one);
    }
    return visible;
}

server_core::entry server_core::enter_session(const std::shared_ptr<session_record>& one) {
    constexpr std::size_t most = 65535;  // TSIH has 16 bits, and 0 is none
    const std::lock_guard lock(mutex_);
    for (const auto& other : sessions_) {
        const bool same = other->isid == one->isid && other->where == one->where &&
                          other->info.initiator_name == one->info.initiator_name;
        // Discovery sessions have no state that would be worth ending another one for.
        if (same && one->where != nullptr) return {false, other};
    }
    if (sessions_.size() >= most) return {};
    const auto taken = [&](std::uint16_t tsih) {
        return std::any_of(sessions_.begin(), sessions_.end(),
                           [&](const auto& other) { return other->info.tsih == tsih; });
    };
    if (one->info.tsih == 0) {
        while (next_tsih_ == 0 || taken(next_tsih_)) ++next_tsih_;
        one->info.tsih = next_tsih_++;
    }
    one->info.id = next_session_++;
    sessions_.push_back(one);
    return {true, nullptr};
}

void server_core::drop_session(const std::shared_ptr<session_record>& one) {
    const std::lock_guard lock(mutex_);
    std::erase(sessions_, one);
}

std::shared_ptr<session_record> server_core::same_nexus(const login_identity& who) const {
    const std::lock_guard lock(mutex_);
    for (const auto& one : sessions_) {
        if (one->isid == who.isid && one->info.initiator_name == who.initiator_name &&
            one->info.target_name == who.target_name && one->where != nullptr) {
            return one;
        }
    }
    return nullptr;
}

std::vector<std::shared_ptr<session_record>> server_core::sessions_of(const target* where) const {
    const std::lock_guard lock(mutex_);
    std::vector<std::shared_ptr<session_record>> found;
    for (const auto& one : sessions_) {
        if (where == nullptr || one->where.get() == where) found.push_back(one);
    }
    return found;
}

std::vector<std::shared_ptr<session_record>> server_core::sessions_beside(const session_record& one) const {
    auto found = sessions_of(one.where.get());
    std::erase_if(found, [&](const auto& other) { return other->units != one.units; });
    return found;
}

std::chrono::milliseconds server_core::penalty_for(const std::string& host) {
    const std::lock_guard lock(mutex_);
    if (failures_.size() >= remembered_failures && !failures_.contains(host)) failures_.clear();
    auto& past = failures_[host];
    const auto now = std::chrono::steady_clock::now();
    const auto delay = first_penalty * (1 << std::min(past.count++, most_doublings));
    past.last_answer = std::max(past.last_answer, now) + delay;
    return std::chrono::ceil<std::chrono::milliseconds>(past.last_answer - now);
}

void server_core::forgive(const std::string& host) {
    const std::lock_guard lock(mutex_);
    failures_.erase(host);
}

}  // namespace obd::iscsi
