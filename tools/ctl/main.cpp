// overlaybdctl: the command line of the admin API.
#include <exception>
#include <iostream>

#include "tools/ctl/command_line.hpp"
#include "tools/ctl/exit_codes.hpp"

int main(int count, char** words) {
    try {
        return obd::ctl::run({words + 1, words + count}, std::cout, std::cerr);
    } catch (const std::exception& error) {
        std::cerr << "overlaybdctl: " << error.what() << "\n";
        return obd::ctl::failed;
    }
}
