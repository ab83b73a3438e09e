// The reference's live snapshot service: `/snapshot?dev_id=<export>&config=<path>` on a loopback address, for programs
// that were written for overlaybd-tcmu. Our own way is POST /v1/exports/NAME/snapshot.
#pragma once

#include "server/admin/api.hpp"
#include "server/catalog/catalog.hpp"
#include "server/logging/audit.hpp"

namespace obd::server {

/// Lives on the control thread. REQUIRES: what it refers to outlives it.
class snapshot_service final : public api_handler {
public:
    snapshot_service(catalog& exports, audit_log& audit) : exports_(exports), audit_(audit) {}

    asio::awaitable<api_response> handle(api_request request) override;

private:
    void note(const std::string& name, const api_request& request, const std::string& outcome);

    catalog& exports_;
    audit_log& audit_;
};

}  // namespace obd::server
