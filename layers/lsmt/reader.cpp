#include "layers/lsmt/reader.hpp"

#include <utility>

namespace obd::layers::lsmt {

layer::layer(std::shared_ptr<blob_source> source, header_fields header, header_fields trailer,
             std::vector<packed_mapping> mappings)
    : source_(std::move(source)),
      header_(std::move(header)),
      trailer_(std::move(trailer)),
      mappings_(std::move(mappings)) {}

asio::awaitable<result<std::shared_ptr<const layer>>> layer::open(std::shared_ptr<blob_source> source) {
    const byte_count size = source->size();
    if (size.value < 2 * header_space_bytes) {
        co_return fail(errc::corrupt,
                       "lsmt layer of " + std::to_string(size.value) + " bytes: too short for a header and a trailer");
    }
    std::vector<std::byte> block(header_space_bytes);
    const mutable_bytes space(block);
    const byte_offset start{0};
    CO_TRYV(co_await source->read(start, space));
    CO_TRY(auto header, decode_layer_header(space));

    const byte_offset trailer_offset{size.value - header_space_bytes};
    CO_TRYV(co_await source->read(trailer_offset, space));
    const trailer_position where{size};
    CO_TRY(auto trailer, decode_layer_trailer(space, where));

    std::vector<std::byte> raw(trailer.index_entries * sizeof(index_entry));
    const byte_offset index_offset{trailer.index_offset};
    const mutable_bytes raw_space(raw);
    if (!raw.empty()) {
        CO_TRYV(co_await source->read(index_offset, raw_space));
    }
    CO_TRY(auto mappings, decode_index(raw, sector_of(index_offset)));
    co_return std::make_shared<const layer>(std::move(source), std::move(header), std::move(trailer),
                                            std::move(mappings));
}

}  // namespace obd::layers::lsmt
