// http_transport on libcurl's multi socket interface, driven by Asio: all transfers on one strand, no thread per
// request.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <memory>
#include <string>

#include "registry/http.hpp"

namespace obd::registry {

struct curl_http_options {
    tls_files tls;
    std::string user_agent;
    std::chrono::milliseconds connect_timeout{5'000};
};

/// Runs on a strand of `executor`. Fails when libcurl can't be initialised.
result<std::shared_ptr<http_transport>> make_curl_http(curl_http_options options, asio::any_io_executor executor);

}  // namespace obd::registry
