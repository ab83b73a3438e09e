// Puts a layer into a tar archive with one member, as registries want layers to be. docs/formats/tar-wrapper.md.
#pragma once

#include <cstdint>
#include <memory>

#include "layers/write/sink.hpp"

namespace obd::layers {

/// A sink for the payload, which must be able to overwrite: its length is known at the end only. Until then the member
/// carries a name and a magic by which readers recognise an unfinished file. Not thread-safe.
class tar_writer final : public byte_sink {
public:
    static constexpr std::uint64_t payload_offset = 1536;

    /// `to` outlives the writer and stands at its beginning.
    static result<std::unique_ptr<tar_writer>> begin(byte_sink& to);

    result<void> write(const_bytes bytes) override;
    /// Positions are those of the payload.
    result<void> overwrite(byte_offset position, const_bytes bytes) override;
    /// Padding, end of archive, and the headers once more with the length. Once, last.
    result<void> finish();

private:
    explicit tar_writer(byte_sink& to) : to_(to) {}

    byte_sink& to_;
    std::uint64_t payload_bytes_ = 0;
};

}  // namespace obd::layers
