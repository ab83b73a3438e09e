// Connections that have not logged in yet, as a bounded queue: a newer one pushes the oldest out, of its own address
// first. A login takes milliseconds, so that the oldest are those who do not mean to finish. Thread-safe.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

namespace obd::iscsi {

class connection;
class net_loop;

class half_open_logins {
public:
    struct limits {
        std::size_t in_all;
        std::size_t of_one_address;
    };
    struct entry {
        std::uint64_t connection_id;
        std::string host;
        std::weak_ptr<connection> owner;
        std::shared_ptr<net_loop> loop;
    };

    explicit half_open_logins(limits most) : most_(most) {}

    /// Who has to go for it: the caller closes that one, on its loop.
    std::optional<entry> add(entry one);
    /// It has logged in, or is gone. Nothing happens when it is not there any more.
    void remove(std::uint64_t connection_id);
    std::size_t size() const;

private:
    void erase(std::list<entry>::iterator one);  // REQUIRES: mutex_

    const limits most_;
    mutable std::mutex mutex_;
    std::list<entry> queue_;  // oldest first
    std::unordered_map<std::uint64_t, std::list<entry>::iterator> by_id_;
    std::unordered_map<std::string, std::size_t> of_host_;
};

}  // namespace obd::iscsi
