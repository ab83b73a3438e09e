#include "layers/write/append_upper.hpp"
#include "layers/write/host_file.hpp"
#include "layers/write/sparse_upper.hpp"

namespace obd::layers {

const char* name_of(upper_kind kind) noexcept {
    return kind == upper_kind::sparse ? "sparse" : "append";
}

upper_paths upper_paths_in(const std::filesystem::path& directory) {
    return {.data = directory / "writable_data", .index = directory / "writable_index"};
}

result<void> upper::erase() {
    TRYV(zero({.start = {0}, .length = identity_.virtual_size.value / sector_bytes}));
    return flush();
}

result<void> create_upper(const create_upper_options& options) {
    host_file_system files;
    return create_upper_in(files, options);
}

result<std::shared_ptr<upper>> open_upper(const upper_opening& how) {
    TRY(auto files, open_upper_files(how));
    if (files.identity.kind == upper_kind::sparse) return sparse_upper::open(how, std::move(files));
    return append_upper::open(how, std::move(files));
}

}  // namespace obd::layers
