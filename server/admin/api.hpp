// The admin API without its transport: a request in, a response out (docs/admin-api.md).
#pragma once

#include <boost/asio/awaitable.hpp>
#include <map>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace obd::server {

namespace asio = boost::asio;

struct api_request {
    std::string method;  ///< "GET" …
    std::string path;    ///< decoded, without the query
    std::map<std::string, std::string> query;
    std::string body;
    std::string peer;  ///< "uid=1000 pid=4711", for the audit log
};

struct api_response {
    unsigned status = 200;
    std::string body;  ///< JSON
};

class api_handler {
public:
    virtual ~api_handler() = default;
    virtual asio::awaitable<api_response> handle(api_request request) = 0;
};

/// {"error": {"code": …, "message": …}} with the status that fits.
api_response error_response(const failure& error);
api_response error_response(unsigned status, std::string_view code, std::string_view message);

}  // namespace obd::server
