#include "protocol/net/half_open_logins.hpp"

#include <algorithm>

namespace obd::iscsi {

void half_open_logins::erase(std::list<entry>::iterator one) {
    const auto count = of_host_.find(one->host);
    if (--count->second == 0) of_host_.erase(count);
    by_id_.erase(one->connection_id);
    queue_.erase(one);
}

std::optional<half_open_logins::entry> half_open_logins::add(entry one) {
    const std::lock_guard lock(mutex_);
    auto victim = queue_.end();
    const auto same_host = of_host_.find(one.host);
    if (same_host != of_host_.end() && same_host->second >= most_.of_one_address) {
        victim = std::find_if(queue_.begin(), queue_.end(), [&](const entry& old) { return old.host == one.host; });
    } else if (queue_.size() >= most_.in_all) {
        victim = queue_.begin();
    }
    std::optional<entry> pushed_out;
    if (victim != queue_.end()) {
        pushed_out = *victim;
        erase(victim);
    }
    ++of_host_[one.host];
    const auto id = one.connection_id;
    by_id_[id] = queue_.insert(queue_.end(), std::move(one));
    return pushed_out;
}

void half_open_logins::remove(std::uint64_t connection_id) {
    const std::lock_guard lock(mutex_);
    const auto found = by_id_.find(connection_id);
    if (found != by_id_.end()) erase(found->second);
}

std::size_t half_open_logins::size() const {
    const std::lock_guard lock(mutex_);
    return queue_.size();
}

}  // namespace obd::iscsi
