// overlaybd-zfile: compresses a file into a ZFile, extracts and verifies one. docs/man/overlaybd-zfile.1.
#include <unistd.h>

#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "layers/local_blob.hpp"
#include "layers/opened_layer.hpp"
#include "layers/write/blocking.hpp"
#include "layers/write/commit.hpp"
#include "tools/image/inspect.hpp"
#include "tools/image/program.hpp"
#include "tools/image/wrapping.hpp"

using namespace obd;

namespace {

constexpr std::size_t copy_bytes = 1 << 20;

struct arguments {
    std::string source;
    std::string target;
    tools::compression_arguments compression;
    unsigned threads = 1;
    bool tar = false;
    bool extract = false;
    bool verify = false;
    bool force = false;
    bool verbose = false;
};

result<layers::file_sink> create_output(const arguments& given, const std::string& path) {
    using existing = layers::file_sink::existing;
    return layers::file_sink::create(path, given.force ? existing::replace : existing::keep);
}

result<void> copy_stream(int from, const std::string& name, layers::byte_sink& to) {
    std::vector<std::byte> buffer(copy_bytes);
    for (;;) {
        const auto got = ::read(from, buffer.data(), buffer.size());
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return fail_errno(name);
        if (got == 0) return {};
        TRYV(to.write(const_bytes(buffer).first(static_cast<std::size_t>(got))));
    }
}

result<void> copy_blob(blob_source& from, layers::byte_sink& to) {
    std::vector<std::byte> buffer(copy_bytes);
    const auto size = from.size().value;
    for (std::uint64_t at = 0; at < size;) {
        const auto part = mutable_bytes(buffer).first(std::min<std::uint64_t>(copy_bytes, size - at));
        TRYV(layers::run_blocking(from.read({at}, part)));
        TRYV(to.write(part));
        at += part.size();
    }
    return {};
}

result<int> compress(const arguments& given, worker_pool& workers) {
    const bool from_stdin = given.target.empty();
    const auto& output = from_stdin ? given.source : given.target;
    TRY(const auto options, given.compression.parse(given.threads));
    const layers::layer_wrapping wrapping{
        .zfile = options, .index_at = layers::zfile_index_at::trailer, .tar = given.tar};
    std::shared_ptr<layers::local_blob> input;
    if (!from_stdin) {
        TRY(input, layers::local_blob::open(given.source, workers));
        std::printf("compress file %s as %s\n", given.source.c_str(), output.c_str());
    }
    TRY(auto file, create_output(given, output));
    auto content = [&](layers::byte_sink& sink) {
        return input ? copy_blob(*input, sink) : copy_stream(STDIN_FILENO, "standard input", sink);
    };
    TRY(const auto totals, layers::write_wrapped(wrapping, file, content));
    TRYV(file.finish());
    tools::warn_of_oversized(totals.oversized_blocks, output);
    std::puts("compress file done.");
    return 0;
}

result<int> extract(const arguments& given, worker_pool& workers) {
    if (given.target.empty()) return fail(errc::invalid_argument, "-x needs source_file and target_file");
    TRY(auto input, layers::local_blob::open(given.source, workers));
    TRY(const auto content, layers::run_blocking(layers::unwrap(std::move(input), workers)));
    if (content.form.find("zfile") == std::string::npos) return fail(errc::corrupt, given.source + ": is no ZFile");
    std::printf("decompress file %s as %s\n", given.source.c_str(), given.target.c_str());
    TRY(auto file, create_output(given, given.target));
    TRYV(copy_blob(*content.content, file));
    TRYV(file.finish());
    std::puts("decompress file done.");
    return 0;
}

result<int> verify(const arguments& given, worker_pool& workers) {
    const auto bad = tools::verify_zfile(given.source, workers);
    if (!bad) {
        std::fprintf(stderr, "%s\n", bad.error().message().c_str());
        std::printf("%s is not a valid zfile blob or checksum can't be found.\n", given.source.c_str());
        return tools::exit_failure;
    }
    std::printf("%s is a valid zfile blob.\n", given.source.c_str());
    return 0;
}

result<int> run(const arguments& given) {
    worker_pool workers(1);
    if (given.verify) return verify(given, workers);
    if (given.extract) return extract(given, workers);
    return compress(given, workers);
}

}  // namespace

int main(int argc, char** argv) {
    arguments given;
    CLI::App app(
        "Compresses a file into a ZFile, block by block, so that it can be read at random; or takes one apart.",
        "overlaybd-zfile");
    app.add_option("source_file", given.source, "input; alone it is the output, and standard input is compressed")
        ->type_name("FILE")
        ->required();
    app.add_option("target_file", given.target, "output")->type_name("FILE");
    app.add_flag("-t", given.tar, "wrap into a tar archive");
    app.add_flag("-x", given.extract, "extract");
    app.add_flag("--verify", given.verify, "check every checksum of source_file and decompress every block");
    app.add_flag("-f", given.force, "replace an existing output");
    given.compression.add_to(app);
    app.add_option("--compress_threads", given.threads, "threads that compress; the output is the same")
        ->check(CLI::Range(1, 256))
        ->capture_default_str();
    app.add_flag("--verbose", given.verbose, "accepted; nothing more to say");
    app.footer("Exit status: 0 done, 255 failed or not valid, 100 and above wrong usage. See overlaybd-zfile(1).");
    return tools::run_tool(app, argc, argv, [&] { return run(given); });
}
