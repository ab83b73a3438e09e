#include "tools/convert/commands.hpp"

#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <cstdlib>
#include <memory>
#include <ostream>
#include <thread>
#include <utility>

#include "base/units.hpp"
#include "tools/convert/json_text.hpp"
#include "tools/image/scratch_directory.hpp"

namespace obd::convert {
namespace {

constexpr std::uint64_t gib = std::uint64_t{1} << 30;
constexpr std::uint64_t most_gib = 16384;  // ext4's 48-bit block numbers allow more; LSMT and tools are tested to here

std::filesystem::path default_ledger() {
    if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache != nullptr && *cache != 0)
        return std::filesystem::path(cache) / "overlaybd" / "converted-layers.json";
    if (const char* home = std::getenv("HOME"); home != nullptr && *home != 0)
        return std::filesystem::path(home) / ".cache" / "overlaybd" / "converted-layers.json";
    return {};
}

/// Everything that a command runs with, in the order in which it must go away.
struct workshop {
    explicit workshop(const command_options& command, std::ostream& err)
        : threads(std::max(2u, std::thread::hardware_concurrency())),
          workers(threads),
          log(std::make_shared<spdlog::logger>("overlaybdctl", std::make_shared<spdlog::sinks::stderr_sink_mt>())),
          shown(err, command.quiet ? progress_style::none : style_for_stderr()) {
        log->set_pattern("overlaybdctl: %v");
        log->set_level(spdlog::level::warn);
    }
    unsigned threads;
    worker_pool workers;
    std::shared_ptr<spdlog::logger> log;
    progress shown;
};

store_services services_for(const command_options& command, workshop& shop, const std::filesystem::path& work) {
    store_services services{.workers = shop.workers, .log = *shop.log};
    if (command.insecure) services.security = registry::transport_security::insecure;
    services.credential_file = command.credential_file;
    services.ca_file = command.ca_file;
    services.work_directory = work;
    return services;
}

std::filesystem::path work_parent(const command_options& command) {
    return command.work_directory.empty() ? std::filesystem::temp_directory_path()
                                          : std::filesystem::path(command.work_directory);
}

result<conversion_options> options_of(const convert_command& command, const std::filesystem::path& work,
                                      unsigned cpus) {
    conversion_options options;
    if (command.file_system == "erofs")
        return fail(errc::unsupported,
                    "--fs erofs: not supported (erofs-utils before 1.7 makes a file system of a directory only, which "
                    "takes root, and of a whole image only, not of a layer)");
    if (command.file_system != "ext4")
        return fail(errc::invalid_argument, "--fs " + command.file_system + ": must be ext4");
    if (command.size_gib == 0 || command.size_gib > most_gib)
        return fail(errc::invalid_argument, "--vsize " + std::to_string(command.size_gib) + ": must be 1 to " +
                                                std::to_string(most_gib) + " GiB");
    options.build.virtual_size = {command.size_gib * gib};
    options.build.with_journal = command.journal ? fs::journal::present : fs::journal::none;
    if (command.algorithm == "zstd")
        options.build.zfile.algo = layers::zfile::algorithm::zstd;
    else if (command.algorithm != "lz4")
        return fail(errc::invalid_argument, "--algorithm " + command.algorithm + ": must be lz4 or zstd");
    options.build.zfile.block_bytes = command.block_kib * 1024;
    options.build.zfile.threads = command.threads == 0 ? cpus : command.threads;
    TRYV(layers::check(options.build.zfile));
    options.build.work_directory = work;
    options.types = command.docker ? media_types::docker : media_types::oci;
    if (command.docker && command.referrer)
        return fail(errc::invalid_argument, "--referrer needs OCI media types, not --docker");
    options.refer = command.referrer ? referrer::yes : referrer::no;
    options.platform = command.platform;
    return options;
}

result<conversion_report> convert(const convert_command& command, workshop& shop) {
    TRY(const auto work, tools::scratch_directory::create(work_parent(command.common)));
    TRY(const auto options, options_of(command, work.path(), shop.threads));
    const auto services = services_for(command.common, shop, work.path());
    TRY(const auto from, open_reader(command.common.source, services));
    TRY(const auto to, open_writer(command.common.destination, services));
    const layer_ledger ledger(command.no_reuse         ? std::filesystem::path()
                              : command.ledger.empty() ? default_ledger()
                                                       : std::filesystem::path(command.ledger));
    return convert_image({*from, *to, ledger, shop.workers, *shop.log, shop.shown}, options);
}

int report_failure(const failure& error, std::ostream& err) {
    err << "overlaybdctl: " << error.message() << "\n";
    return error.is(errc::invalid_argument) ? 2 : 1;
}

result<std::string> copy(copy_kind kind, const command_options& command, workshop& shop) {
    TRY(const auto work, tools::scratch_directory::create(work_parent(command)));
    const auto services = services_for(command, shop, work.path());
    auto source = command.source, destination = command.destination;
    if (kind == copy_kind::push && !destination.starts_with("docker://")) destination = "docker://" + destination;
    if (kind == copy_kind::pull && !source.starts_with("docker://")) source = "docker://" + source;
    if (kind == copy_kind::pull && !destination.starts_with("oci:")) destination = "oci:" + destination;
    if (kind == copy_kind::push && !source.starts_with("oci:")) source = "oci:" + source;
    TRY(const auto from, open_reader(source, services));
    TRY(const auto to, open_writer(destination, services));
    return copy_image(*from, *to, shop.shown);
}

}  // namespace

int run_convert(const convert_command& command, std::ostream& out, std::ostream& err) {
    workshop shop(command.common, err);
    const auto report = convert(command, shop);
    if (!report) return report_failure(report.error(), err);
    if (!command.common.json) {
        out << command.common.destination << " " << report->digest << "\n";
        return 0;
    }
    rapidjson::Document made(rapidjson::kObjectType);
    auto& allocator = made.GetAllocator();
    set_member(made, "image", text_value(command.common.destination, allocator), allocator);
    set_member(made, "digest", text_value(report->digest, allocator), allocator);
    set_member(made, "images", rapidjson::Value(report->images), allocator);
    set_member(made, "layers_built", rapidjson::Value(report->layers_built), allocator);
    set_member(made, "layers_reused", rapidjson::Value(report->layers_reused), allocator);
    set_member(made, "bytes_written", rapidjson::Value(report->bytes_written), allocator);
    out << to_text(made) << "\n";
    return 0;
}

int run_copy(copy_kind kind, const command_options& command, std::ostream& out, std::ostream& err) {
    workshop shop(command, err);
    const auto digest = copy(kind, command, shop);
    if (!digest) return report_failure(digest.error(), err);
    if (!command.json) {
        out << command.destination << " " << *digest << "\n";
        return 0;
    }
    rapidjson::Document made(rapidjson::kObjectType);
    auto& allocator = made.GetAllocator();
    set_member(made, "image", text_value(command.destination, allocator), allocator);
    set_member(made, "digest", text_value(*digest, allocator), allocator);
    out << to_text(made) << "\n";
    return 0;
}

}  // namespace obd::convert
