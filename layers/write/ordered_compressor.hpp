// Compresses batches of blocks on several threads and gives them back in the order in which they came.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "layers/write/block_compressor.hpp"

namespace obd::layers {

/// Blocks of a ZFile in a row, before and after.
struct block_batch {
    std::vector<std::byte> plain;
    std::vector<std::byte> stored;
    std::vector<std::uint32_t> lengths;  ///< of each stored block
};

/// Used from one thread.
class ordered_compressor {
public:
    explicit ordered_compressor(const zfile_options& options);
    ~ordered_compressor();
    ordered_compressor(const ordered_compressor&) = delete;
    ordered_compressor& operator=(const ordered_compressor&) = delete;

    /// True when push() would queue more than is sensible: pop() first.
    bool full() const { return queue_.size() >= most_queued_; }
    bool empty() const { return queue_.empty(); }
    void push(std::unique_ptr<block_batch> batch);
    /// The oldest batch, compressed; waits for it. REQUIRES: !empty().
    std::unique_ptr<block_batch> pop();

private:
    struct job {
        std::unique_ptr<block_batch> batch;
        bool done = false;
    };
    void compress(block_batch& batch, block_compressor& with) const;
    void work();

    zfile_options options_;
    std::size_t most_queued_;
    block_compressor own_;
    std::deque<std::shared_ptr<job>> queue_;  ///< all that was pushed and not popped; of the owner's thread

    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<std::shared_ptr<job>> waiting_;  ///< not yet taken by a thread
    bool stop_ = false;
    std::vector<std::thread> threads_;
};

}  // namespace obd::layers
