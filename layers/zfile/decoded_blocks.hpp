// A few decoded blocks for each thread, for reads of parts of blocks: small sequential reads, and the many small runs
// of a fragmented layer, want the same block again at once. Being per thread it needs no lock.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/bytes.hpp"
#include "layers/zfile/format.hpp"

namespace obd::layers::zfile {

class decoded_blocks {
public:
    /// Which block of which reader; reader ids are never reused, so an entry can't be mistaken for another's.
    struct key {
        std::uint64_t reader = 0;
        std::uint64_t block = 0;
        bool operator==(const key&) const = default;
    };

    /// The calling thread's own.
    static decoded_blocks& of_this_thread();

    /// The block's bytes, at least as many as were committed, or nullptr. Valid until the next prepare().
    const std::byte* find(const key& which) const noexcept {
        const slot& candidate = slots_[position(which)];
        return candidate.which == which ? bytes_of(position(which)) : nullptr;
    }
    /// Space of max_block_bytes to decode the block into. Evicts what was there.
    std::byte* prepare(const key& which) noexcept {
        slots_[position(which)].which = {};
        return bytes_of(position(which));
    }
    /// The space from prepare(which) now holds the block.
    void commit(const key& which) noexcept { slots_[position(which)].which = which; }

private:
    static constexpr std::size_t slot_count = 64;  // 4 MiB a thread at the most; untouched pages cost nothing
    struct slot {
        key which;  ///< reader 0: empty
    };

    decoded_blocks();
    static std::size_t position(const key& which) noexcept { return (which.block + which.reader * 7) % slot_count; }
    std::byte* bytes_of(std::size_t number) const noexcept { return bytes_.get() + number * max_block_bytes; }

    std::array<slot, slot_count> slots_;
    std::unique_ptr<std::byte[]> bytes_;
};

}  // namespace obd::layers::zfile
