// overlaybdctl's command line.
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

namespace obd::ctl {

/// Runs one command. `words` is the command line without the program's name. Returns the exit code.
int run(std::vector<std::string> words, std::ostream& out, std::ostream& err);

}  // namespace obd::ctl
