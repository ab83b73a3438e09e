// The WWW-Authenticate header (RFC 9110 §11.6.1) and the two schemes registries use. Pure.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace obd::registry {

struct challenge {
    std::string scheme;                         ///< lower case
    std::map<std::string, std::string> params;  ///< names in lower case, values unquoted
    std::string token68;                        ///< "Negotiate abc=="

    /// Empty when it is not there.
    std::string param(std::string_view name) const;
};

/// All challenges of one header value, in order. What follows the first violation of the grammar is left out.
std::vector<challenge> parse_challenges(std::string_view value);

/// A Bearer challenge's scope parameter is a list: "repository:a:pull repository:b:pull".
std::vector<std::string> split_scopes(std::string_view scope);

}  // namespace obd::registry
