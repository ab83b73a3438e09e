// Other programs as tools of ours.
#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"

namespace obd::tools {

/// Runs a program of the system and waits for it; what it says, on either stream, goes to our standard error. Returns
/// its exit status (128: killed). not_found, naming the package, when it is not installed.
result<int> run_program(const std::vector<std::string>& words, const std::string& package);

}  // namespace obd::tools
