// Makes the gzip index of TurboOCI while a gzip file passes by. docs/formats/gzip-index.md.
#pragma once

#include <memory>

#include "layers/gzip/format.hpp"
#include "layers/write/sink.hpp"

namespace obd::layers {

/// Not thread-safe. Blocks. A file of several gzip members gets a place at the beginning of each, too.
class gzip_index_writer {
public:
    /// `to` is empty, can be overwritten and outlives the writer. `span_bytes`: places are at least this far apart.
    static result<std::unique_ptr<gzip_index_writer>> begin(byte_sink& to,
                                                            std::uint64_t span_bytes = gzip::default_span);
    ~gzip_index_writer();

    /// The next bytes of the gzip file. Fails with corrupt when they are none.
    result<void> packed(const_bytes bytes);

    struct totals {
        byte_count gzip_size;
        byte_count plain_size;
        std::uint64_t places = 0;
    };
    /// After the last byte. Fails with corrupt when the file is cut off.
    result<totals> finish();

private:
    class state;
    explicit gzip_index_writer(std::unique_ptr<state> with);
    std::unique_ptr<state> state_;
};

}  // namespace obd::layers
