// overlaybd's "tar meta": the headers of a tar one after the other, with what pax and long-name headers carry, and
// without file contents; each regular file's header has, in the eight bytes of devmajor (offset 329, little-endian,
// check sum not corrected), the place of its contents in the tar.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "layers/fs/byte_stream.hpp"
#include "layers/write/sink.hpp"

namespace obd::tools {

/// Reads the tar to its end. corrupt: no tar, or cut off.
result<void> export_tar_meta(fs::byte_stream& tar, layers::byte_sink& to);

/// Where the bytes of the tar that tar_meta_reader makes up really are.
class tar_meta_places {
public:
    void add(std::uint64_t made_up, std::uint64_t real, std::uint64_t bytes) { runs_[made_up] = {real, bytes}; }
    result<byte_offset> real(byte_offset made_up) const;

private:
    struct run {
        std::uint64_t real, bytes;
    };
    std::map<std::uint64_t, run> runs_;
};

/// Makes a tar of a tar meta again: zeros where contents were.
class tar_meta_reader final : public fs::byte_stream {
public:
    /// Both outlive the reader.
    tar_meta_reader(fs::byte_stream& meta, tar_meta_places& places) : meta_(meta), places_(places) {}
    result<std::size_t> read(mutable_bytes out) override;

private:
    result<void> next_header();

    fs::byte_stream& meta_;
    tar_meta_places& places_;
    std::uint64_t position_ = 0;  ///< in the tar that is made up
    std::uint64_t zeros_left_ = 0;
    std::uint64_t pax_size_ = 0;  ///< for the next file, from its pax header
    std::vector<std::byte> ready_;
    std::size_t given_ = 0;
    bool ended_ = false;
};

}  // namespace obd::tools
