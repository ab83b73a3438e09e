// Every bound on what a peer, a blob or a file may make this program hold or do, with its reason.
#pragma once

#include <cstddef>
#include <cstdint>

namespace obd::limits {

// Layers (docs/formats/lsmt.md, docs/formats/zfile.md).
inline constexpr std::size_t layers_per_image = 256;  // the reference stops at 255 read-only ones plus an upper
inline constexpr std::uint64_t lsmt_entries_per_layer =
    1'000'000;  // the reference's own limit for a read-only layer: 16 MB
inline constexpr std::uint64_t lsmt_journal_entries =
    128'000'000;                                              // the reference's limit for a writable layer's journal
inline constexpr std::uint64_t merged_entries = 128'000'000;  // the reference's limit for a merged stack: 2 GB
inline constexpr std::uint64_t zfile_blocks =
    1'000'000'000;  // the reference's limit; the index is also bounded by the file
inline constexpr std::uint32_t zfile_block_bytes = 65536;
inline constexpr std::size_t config_file_bytes = 16 << 20;  // a config of 256 layers is below 64 KiB

// Registry: a manifest is at most 4 MiB by the distribution specification; tokens and error bodies are short.
inline constexpr std::size_t manifest_bytes = 4 << 20;
inline constexpr std::size_t token_response_bytes = 1 << 20;

// iSCSI connections. One login text may span PDUs (C bit); real initiators send below 4 KiB.
inline constexpr std::size_t login_text_bytes = 64 << 10;
inline constexpr std::size_t text_key_name_bytes = 63;  // RFC 7143 §6.1
inline constexpr std::size_t text_value_bytes = 8192;   // RFC 7143 §6.1: CHAP values may be that long
inline constexpr std::size_t iscsi_name_bytes = 223;    // RFC 7143 §4.2.7.1
inline constexpr std::uint32_t max_recv_data_segment_bytes =
    256 << 10;                                                 // what we declare; a longer segment ends the connection
inline constexpr std::uint32_t max_burst_bytes = 16 << 20;     // Linux offers 16776192
inline constexpr std::uint32_t first_burst_bytes = 256 << 10;  // what Linux offers
inline constexpr std::size_t tasks_per_connection = 128;       // the CmdSN window; Linux queues up to 128 a session
inline constexpr std::uint32_t max_transfer_bytes = 16 << 20;  // VPD B0 MAXIMUM TRANSFER LENGTH; bounds memory per task
inline constexpr std::size_t connections_per_portal = 4096;

}  // namespace obd::limits
