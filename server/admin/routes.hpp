// What the admin API does: from paths to the catalog.
#pragma once

#include "protocol/net/target_server.hpp"
#include "server/admin/api.hpp"
#include "server/catalog/catalog.hpp"
#include "server/logging/audit.hpp"

namespace obd::server {

/// Lives on the control thread. REQUIRES: what it refers to outlives it.
class admin_routes final : public api_handler {
public:
    admin_routes(catalog& exports, iscsi::target_server& target, audit_log& audit);

    asio::awaitable<api_response> handle(api_request request) override;

private:
    struct route;
    using arguments = std::vector<std::string>;  ///< what the {} of the path stand for
    using action = asio::awaitable<api_response> (admin_routes::*)(const api_request&, arguments);
    static const std::vector<route>& table();

    asio::awaitable<api_response> version(const api_request& request, arguments);
    asio::awaitable<api_response> list(const api_request& request, arguments);
    asio::awaitable<api_response> attach(const api_request& request, arguments);
    asio::awaitable<api_response> show(const api_request& request, arguments name);
    asio::awaitable<api_response> detach(const api_request& request, arguments name);
    asio::awaitable<api_response> snapshot(const api_request& request, arguments name);
    asio::awaitable<api_response> resize(const api_request& request, arguments name);
    asio::awaitable<api_response> sessions(const api_request& request, arguments);
    asio::awaitable<api_response> quota(const api_request& request, arguments name);
    asio::awaitable<api_response> redirect(const api_request& request, arguments name);

    // clone_routes.cpp
    asio::awaitable<api_response> clones(const api_request& request, arguments name);
    asio::awaitable<api_response> keep_clone(const api_request& request, arguments names);
    asio::awaitable<api_response> commit_clone(const api_request& request, arguments names);
    asio::awaitable<api_response> remove_clone(const api_request& request, arguments names);
    void note_clone(std::string_view what, const api_request& request, const arguments& names,
                    const std::string& outcome);

    void note(std::string_view what, const api_request& request, const std::string& name, const std::string& outcome);
    void note_attach(const api_request& request, const std::string& image, const std::string& outcome);

    catalog& exports_;
    iscsi::target_server& target_;
    audit_log& audit_;
};

}  // namespace obd::server
