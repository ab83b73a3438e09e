// Writes layers for tests: LSMT, ZFile and tar in every shape that readers must take, well-formed and not. Written from
// the format descriptions (docs/formats/) alone: it shares no code with layers/, so that a mistake there is not
// mirrored here.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/bytes.hpp"

namespace obd::test {

using byte_vector = std::vector<std::byte>;

/// Little-endian integers at any offset, for making and for damaging files. REQUIRES: it fits.
void poke32(byte_vector& file, std::size_t offset, std::uint32_t value);
void poke64(byte_vector& file, std::size_t offset, std::uint64_t value);
std::uint32_t peek32(const byte_vector& file, std::size_t offset);
std::uint64_t peek64(const byte_vector& file, std::size_t offset);

/// Bytes that compress somewhat, or (entropy 8) not at all. The same for the same seed.
byte_vector sample_bytes(std::size_t count, std::uint64_t seed, unsigned entropy_bits = 4);

struct lsmt_options {
    std::uint64_t virtual_bytes = 1 << 20;
    std::string uuid = "01234567-89AB-CDEF-0123-456789ABCDEF";
    std::string parent_uuid{};
    std::string user_tag{};
    std::uint8_t entry_tag = 0;         ///< noise in every entry
    std::uint32_t index_padding = 256;  ///< entries: the index is filled up to a multiple of it
    bool scatter_padding = false;       ///< INVALID entries also between the others
};

/// What one layer does to a disk, in the order of the calls; later calls win.
class lsmt_builder {
public:
    /// One entry; longer runs than 16383 sectors are split.
    lsmt_builder& write(std::uint64_t start_sector, const_bytes data);
    lsmt_builder& discard(std::uint64_t start_sector, std::uint64_t sectors);

    /// Compact, as a commit writes it.
    byte_vector committed(const lsmt_options& options) const;
    /// A log closed in place: data in write order with garbage between, the index behind it, an unsealed header.
    byte_vector sealed(const lsmt_options& options) const;
    /// A sparse file closed in place: data at 4096 + its virtual offset.
    byte_vector sealed_sparse(const lsmt_options& options) const;

    /// The same operations on a whole disk in memory. Sectors beyond its end are dropped.
    void apply_to(byte_vector& disk) const;

private:
    struct operation {
        std::uint64_t start;
        std::uint64_t sectors;
        byte_vector data;  ///< empty: a discard
    };
    struct run {
        std::uint64_t start;
        std::uint32_t sectors;
        std::uint64_t moffset;
        bool zeroed;
    };
    struct owner {
        std::size_t operation;
        std::uint64_t sector_in_it;
    };

    std::map<std::uint64_t, owner> winners() const;
    std::vector<run> runs(const std::vector<std::uint64_t>& place_of_operation) const;
    static void append_index(byte_vector& file, const std::vector<run>& runs, const lsmt_options& options,
                             std::uint32_t trailer_flags);

    std::vector<operation> operations_;
};

/// An entry as it stands on disk, for making indexes by hand.
std::array<std::uint64_t, 2> lsmt_entry(std::uint64_t start, std::uint64_t sectors, std::uint64_t moffset, bool zeroed);
/// A layer with exactly these entries and `data_sectors` sectors of data: for hostile indexes.
byte_vector lsmt_with_entries(const std::vector<std::array<std::uint64_t, 2>>& entries, std::uint64_t data_sectors,
                              const lsmt_options& options);

enum class zfile_coding { lz4, zstd };
enum class zfile_index_place { header, trailer };

struct zfile_options {
    zfile_coding coding = zfile_coding::lz4;
    std::uint32_t block_bytes = 4096;
    bool verify = true;
    zfile_index_place index = zfile_index_place::header;
    /// As writers before 2022 left it: no digest, noise in reserved bytes and flag bits.
    bool old_garbage = false;
};
byte_vector zfile(const_bytes content, const zfile_options& options);
/// Makes the digest of the 512-byte header or trailer at `offset` right again after a field was changed.
void repair_zfile_digest(byte_vector& file, std::size_t offset);

/// One ustar header with the size in it.
byte_vector tar_with_one_header(const_bytes payload);
/// A pax header whose records have at least `pax_bytes`, then a ustar header with size 0.
byte_vector tar_with_pax(const_bytes payload, std::size_t pax_bytes);
/// As a writer leaves it that did not come to its end.
byte_vector tar_unfinished(const_bytes payload);
/// Makes the checksum of the header at `offset` right again after a field was changed.
void repair_tar_checksum(byte_vector& file, std::size_t offset);

}  // namespace obd::test
