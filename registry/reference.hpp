// Image references: host[:port]/repository[:tag][@digest], normalised as other container tools do.
#pragma once

#include <string>
#include <string_view>

#include "base/result.hpp"

namespace obd::registry {

struct image_reference {
    std::string host;        ///< host[:port] as written; "docker.io" for all of Docker Hub's names
    std::string repository;  ///< "library/busybox"
    std::string tag;         ///< "latest" when neither tag nor digest was given; may be empty with a digest
    std::string digest;      ///< "sha256:…" or empty

    /// host/repository[:tag][@digest]
    std::string text() const;
    /// Where requests go: Docker Hub's API lives on another host than its name.
    std::string api_host() const;
    /// What the manifest is asked for by: the digest if there is one, else the tag.
    const std::string& target() const { return digest.empty() ? tag : digest; }
};

/// Without a host ("busybox", "user/app") the reference is Docker Hub's. Fails with invalid_argument and what is wrong
/// where.
result<image_reference> parse_reference(std::string_view text);

/// True for what the distribution specification allows as <name>: lower-case components joined by '/'.
bool is_repository_name(std::string_view name);

}  // namespace obd::registry
