#include "protocol/net/target_server.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <future>

#include "protocol/net/connection.hpp"
#include "protocol/net/listener.hpp"

namespace obd::iscsi {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds longest_tick{1000};
constexpr milliseconds look_again{20};

// Deadlines are kept to about an eighth of the shortest of them.
milliseconds tick_of(const target_server_options& options) {
    milliseconds shortest = std::min({options.login_timeout, options.keepalive_timeout, options.command_deadline});
    if (options.keepalive_idle.count() != 0) shortest = std::min(shortest, options.keepalive_idle);
    return std::clamp(shortest / 8, milliseconds{1}, longest_tick);
}

using records = std::vector<std::shared_ptr<session_record>>;

void for_each_owner(const records& of, const std::function<void(connection&)>& call) {
    for (const auto& one : of) {
        asio::post(one->loop->context(), [one, call] {
            if (const auto owner = one->owner.lock()) call(*owner);
        });
    }
}

class target_server_impl final : public target_server {
public:
    target_server_impl(std::shared_ptr<server_core> core, event_loops& loops) : core_(std::move(core)), loops_(loops) {}
    ~target_server_impl() override;

    result<void> listen();

    std::vector<std::string> portals() const override;
    result<void> add_target(target_options options) override { return core_->add_target(std::move(options)); }
    result<void> add_lun(const std::string& target, lun_options options) override;
    asio::awaitable<result<void>> remove_lun(const std::string& target, std::uint16_t lun) override;
    asio::awaitable<result<void>> remove_target(const std::string& target, milliseconds grace) override;
    result<void> capacity_changed(const std::string& target, std::uint16_t lun) override;
    result<void> capacity_changed(const std::string& target, const std::string& initiator, std::uint16_t lun) override;
    result<void> set_redirect(const std::string& target, std::optional<redirection> redirect) override;
    asio::awaitable<result<void>> end_sessions(std::string target, std::string initiator, milliseconds grace) override;
    std::vector<session_info> sessions() const override;
    asio::awaitable<void> shutdown(milliseconds grace) override;

private:
    result<std::shared_ptr<target>> find(const std::string& name) const;
    records sessions_of(const target* where, const std::string& initiator) const;
    asio::awaitable<void> put_out(std::shared_ptr<target> where, std::string initiator, milliseconds grace);
    void stop_listening();
    void on_loop(std::size_t index, std::function<void()> call);

    std::shared_ptr<server_core> core_;
    event_loops& loops_;
    std::vector<std::shared_ptr<listener>> listeners_;
};

result<void> target_server_impl::listen() {
    std::vector<unique_descriptor> sockets;
    for (const auto& text : core_->options.portals) {
        TRY(const auto where, parse_endpoint(text));
        TRY(auto socket, listen_on(where));
        core_->portals.push_back(local_endpoint(socket.get()));
        sockets.push_back(std::move(socket));
    }
    for (std::size_t i = 0; i < sockets.size(); ++i) {
        const auto index = i % core_->loops.size();
        auto one = std::make_shared<listener>(core_, core_->loops[index], std::move(sockets[i]));
        listeners_.push_back(one);
        on_loop(index, [one] { one->start(); });
    }
    return {};
}

// Runs the call on that loop's thread, and waits for it unless this is a loop's own thread: then a later one.
void target_server_impl::on_loop(std::size_t index, std::function<void()> call) {
    if (!loops_.running() || loops_.current() == index) return call();
    if (loops_.current() != loops_.size()) return asio::post(loops_.context(index), std::move(call));
    std::promise<void> done;
    asio::post(loops_.context(index), [&] {
        call();
        done.set_value();
    });
    done.get_future().wait();
}

void target_server_impl::stop_listening() {
    core_->closing = true;
    for (std::size_t i = 0; i < listeners_.size(); ++i) {
        on_loop(i % core_->loops.size(), [one = listeners_[i]] { one->stop(); });
    }
    listeners_.clear();
}

target_server_impl::~target_server_impl() {
    stop_listening();
    for (std::size_t i = 0; i < core_->loops.size(); ++i) {
        on_loop(i, [loop = core_->loops[i]] { loop->close_all(); });
    }
}

std::vector<std::string> target_server_impl::portals() const {
    std::vector<std::string> texts;
    for (const auto& portal : core_->portals) texts.push_back(portal.text());
    return texts;
}

result<std::shared_ptr<target>> target_server_impl::find(const std::string& name) const {
    auto found = core_->find_target(normalise_name(name).value_or(name));
    if (!found) return fail(errc::not_found, "target " + name);
    return found;
}

result<void> target_server_impl::add_lun(const std::string& target, lun_options options) {
    TRY(const auto where, find(target));
    if (!options.device) return fail(errc::invalid_argument, "a logical unit without a device");
    if (where->apart) return fail(errc::invalid_argument, "the initiators of " + target + " have units of their own");
    const auto lun = options.lun;
    return where->inventory->add(lun, make_unit(std::move(options)));
}

asio::awaitable<result<void>> target_server_impl::remove_lun(const std::string& name, std::uint16_t lun) {
    CO_TRY(const auto where, find(name));
    const auto unit = where->inventory->remove(lun);
    if (!unit) co_return fail(errc::not_found, "lun " + std::to_string(lun) + " of target " + name);
    const auto field = scsi::encode_lun(lun);
    const auto left = std::make_shared<std::atomic<std::size_t>>(0);
    const auto sessions = core_->sessions_of(where.get());
    left->store(sessions.size());
    for (const auto& one : sessions) {
        asio::post(one->loop->context(), [one, field, left] {
            const auto done = [left] { left->fetch_sub(1); };
            if (const auto owner = one->owner.lock()) return owner->when_idle(field, done);
            done();
        });
    }
    auto executor = co_await asio::this_coro::executor;
    asio::steady_timer timer(executor);
    const auto until = std::chrono::steady_clock::now() + core_->options.command_deadline;
    while (left->load() != 0 && std::chrono::steady_clock::now() < until) {
        timer.expires_after(look_again);
        co_await timer.async_wait(asio::use_awaitable);
    }
    if (left->load() != 0) {
        for_each_owner(sessions, [field](connection& one) { one.abort_for(field, false, [] {}); });
    }
    co_return result<void>{};
}

/// Of one initiator, or of all when it is empty.
records target_server_impl::sessions_of(const target* where, const std::string& initiator) const {
    auto found = core_->sessions_of(where);
    if (initiator.empty()) return found;
    std::erase_if(found, [&](const auto& one) { return one->info.initiator_name != initiator; });
    return found;
}

// RFC 7143 §11.9: asks for a logout, waits, and ends what has not heeded it.
asio::awaitable<void> target_server_impl::put_out(std::shared_ptr<target> where, std::string initiator,
                                                  milliseconds grace) {
    const auto seconds = static_cast<std::uint16_t>(std::clamp<long>((grace.count() + 999) / 1000, 0, 65535));
    for_each_owner(sessions_of(where.get(), initiator), [seconds](connection& one) { one.ask_logout(seconds); });
    auto executor = co_await asio::this_coro::executor;
    asio::steady_timer timer(executor);
    const auto until = std::chrono::steady_clock::now() + grace;
    while (!sessions_of(where.get(), initiator).empty() && std::chrono::steady_clock::now() < until) {
        timer.expires_after(look_again);
        co_await timer.async_wait(asio::use_awaitable);
    }
    for_each_owner(sessions_of(where.get(), initiator), [](connection& one) { one.drop("the target ends"); });
    // What is under way on the medium ends by the devices' own means; the command deadline has asked them to.
    const auto last = std::chrono::steady_clock::now() + std::min(grace, milliseconds{1000});
    while (!sessions_of(where.get(), initiator).empty() && std::chrono::steady_clock::now() < last) {
        timer.expires_after(look_again);
        co_await timer.async_wait(asio::use_awaitable);
    }
}

asio::awaitable<result<void>> target_server_impl::remove_target(const std::string& name, milliseconds grace) {
    CO_TRY(const auto where, find(name));
    if (where->closing.exchange(true)) co_return fail(errc::busy, "target " + name + " is being removed");
    co_await put_out(where, std::string(), grace);
    core_->drop_target(where->options.name);
    co_return result<void>{};
}

result<void> target_server_impl::capacity_changed(const std::string& name, std::uint16_t lun) {
    TRY(const auto where, find(name));
    const auto unit = where->inventory->find(lun);
    if (!unit) return fail(errc::not_found, "lun " + std::to_string(lun) + " of target " + name);
    unit->capacity_changed();
    return {};
}

result<void> target_server_impl::capacity_changed(const std::string& name, const std::string& initiator,
                                                  std::uint16_t lun) {
    TRY(const auto where, find(name));
    const auto units = where->apart ? where->apart->find(initiator) : nullptr;
    const auto unit = units ? units->find(lun) : nullptr;
    if (!unit) return fail(errc::not_found, "a unit of " + initiator + " with target " + name);
    unit->capacity_changed();
    return {};
}

result<void> target_server_impl::set_redirect(const std::string& name, std::optional<redirection> redirect) {
    TRY(const auto where, find(name));
    where->set_redirect(std::move(redirect));
    return {};
}

asio::awaitable<result<void>> target_server_impl::end_sessions(std::string name, std::string initiator,
                                                               milliseconds grace) {
    CO_TRY(const auto where, find(name));
    co_await put_out(where, initiator, grace);
    if (!sessions_of(where.get(), initiator).empty()) co_return fail(errc::busy, "sessions of " + initiator);
    co_return result<void>{};
}

std::vector<session_info> target_server_impl::sessions() const {
    std::vector<session_info> infos;
    for (const auto& one : core_->sessions_of(nullptr)) infos.push_back(one->snapshot());
    return infos;
}

asio::awaitable<void> target_server_impl::shutdown(milliseconds grace) {
    stop_listening();
    co_await put_out(nullptr, std::string(), grace);
}

}  // namespace

result<std::unique_ptr<target_server>> target_server::start(target_server_options options, event_loops& loops,
                                                            spdlog::logger& log) {
    if (options.portals.empty()) return fail(errc::invalid_argument, "no portal to listen on");
    auto core = std::make_shared<server_core>(std::move(options), log);
    const auto tick = tick_of(core->options);
    for (std::size_t i = 0; i < loops.size(); ++i) {
        core->loops.push_back(std::make_shared<net_loop>(loops.context(i), loops.poller(i), tick));
    }
    auto server = std::make_unique<target_server_impl>(core, loops);
    TRYV(server->listen());
    return std::unique_ptr<target_server>(std::move(server));
}

}  // namespace obd::iscsi
