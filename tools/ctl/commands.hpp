// overlaybdctl's commands that talk to the daemon. Each returns an exit code; results go to `out`, errors to `err`.
#pragma once

#include <cstdint>
#include <filesystem>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

#include "tools/ctl/exit_codes.hpp"

namespace obd::ctl {

enum class output_form { tables, json };

struct session_options {
    std::filesystem::path socket;
    output_form form = output_form::tables;
    std::ostream& out;
    std::ostream& err;
};

struct attach_options {
    std::string reference;
    std::string config;
    std::string name;
    bool insecure = false;
    std::string target;
    std::optional<std::uint16_t> lun;
    std::string writable;  ///< empty, "append" or "sparse"
    std::string upper;
    std::vector<std::string> initiators;
    std::string chap_file;  ///< JSON with the members of the API's "auth"
};

struct snapshot_options {
    std::string name;
    std::string upper;  ///< folder of the new writable layer; empty: beside the old one
};

int attach(const session_options& with, const attach_options& what);
int detach(const session_options& with, const std::string& name);
int list(const session_options& with);
int show(const session_options& with, const std::string& name);
int sessions(const session_options& with);
int version(const session_options& with);
int snapshot(const session_options& with, const snapshot_options& what);
int resize(const session_options& with, const std::string& name, const std::string& size);

}  // namespace obd::ctl
