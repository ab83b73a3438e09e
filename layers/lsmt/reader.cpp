#include "layers/lsmt/reader.hpp"

#include <utility>

#include "layers/joined_source.hpp"

namespace obd::layers::lsmt {

layer::layer(std::shared_ptr<blob_source> source, header_fields header, header_fields trailer,
             std::vector<packed_mapping> mappings)
    : source_(std::move(source)),
      header_(std::move(header)),
      trailer_(std::move(trailer)),
      mappings_(std::move(mappings)) {}

namespace {

struct layer_metadata {
    header_fields header;
    header_fields trailer;
    std::vector<std::byte> index;  ///< as it lies in the file
};

asio::awaitable<result<layer_metadata>> read_metadata(blob_source& source) {
    const byte_count size = source.size();
    if (size.value < 2 * header_space_bytes) {
        co_return fail(errc::corrupt,
                       "lsmt layer of " + std::to_string(size.value) + " bytes: too short for a header and a trailer");
    }
    layer_metadata found;
    std::vector<std::byte> block(header_space_bytes);
    const mutable_bytes space(block);
    const byte_offset start{0};
    CO_TRYV(co_await source.read(start, space));
    CO_TRY(found.header, decode_layer_header(space));

    const byte_offset trailer_offset{size.value - header_space_bytes};
    CO_TRYV(co_await source.read(trailer_offset, space));
    const trailer_position where{size};
    CO_TRY(found.trailer, decode_layer_trailer(space, where));

    found.index.resize(found.trailer.index_entries * sizeof(index_entry));
    const byte_offset index_offset{found.trailer.index_offset};
    const mutable_bytes index_space(found.index);
    if (!index_space.empty()) {
        CO_TRYV(co_await source.read(index_offset, index_space));
    }
    co_return found;
}

}  // namespace

asio::awaitable<result<std::shared_ptr<const layer>>> layer::open(std::shared_ptr<blob_source> source) {
    CO_TRY(auto found, co_await read_metadata(*source));
    const sector data_end = sector_of(byte_offset{found.trailer.index_offset});
    CO_TRY(auto mappings, decode_index(found.index, data_end));
    co_return std::make_shared<const layer>(std::move(source), std::move(found.header), std::move(found.trailer),
                                            std::move(mappings));
}

asio::awaitable<result<std::shared_ptr<const layer>>> layer::open_turbo(std::shared_ptr<blob_source> source,
                                                                        std::shared_ptr<blob_source> target) {
    CO_TRY(auto found, co_await read_metadata(*source));
    auto both = std::make_shared<joined_source>(std::move(source), std::move(target));
    const byte_offset end{both->size().value};
    const turbo_layout layout{.data_end = sector_of(byte_offset{found.trailer.index_offset}),
                              .target_start = sector_of(both->second_start()),
                              .target_end = sector_of(end)};
    CO_TRY(auto mappings, decode_turbo_index(found.index, layout));
    co_return std::make_shared<const layer>(std::move(both), std::move(found.header), std::move(found.trailer),
                                            std::move(mappings));
}

}  // namespace obd::layers::lsmt
