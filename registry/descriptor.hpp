// A content descriptor (OCI image specification, "Content Descriptors").
#pragma once

#include <map>
#include <string>

#include "base/units.hpp"

namespace obd::registry {

struct descriptor {
    std::string media_type;
    std::string digest;  ///< valid sha256
    byte_count size;
    std::map<std::string, std::string> annotations;
};

}  // namespace obd::registry
