// How far a connection to a registry is trusted.
#pragma once

#include <filesystem>

namespace obd::registry {

enum class transport_security {
    verified,  ///< HTTPS with a certificate that the system's (or the configured) authorities signed
    insecure,  ///< HTTPS with any certificate, else plain HTTP
};

/// Empty paths: the system's authorities, no client certificate.
struct tls_files {
    std::filesystem::path ca;
    std::filesystem::path client_cert;
    std::filesystem::path client_key;
};

}  // namespace obd::registry
