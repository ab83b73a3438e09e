#include "layers/write/ordered_compressor.hpp"

#include <algorithm>

namespace obd::layers {

ordered_compressor::ordered_compressor(const zfile_options& options)
    : options_(options), most_queued_(options.threads > 1 ? options.threads * 2 : 1), own_(options) {
    for (unsigned i = 0; options.threads > 1 && i < options.threads; ++i) threads_.emplace_back([this] { work(); });
}

ordered_compressor::~ordered_compressor() {
    {
        const std::lock_guard lock(mutex_);
        stop_ = true;
    }
    changed_.notify_all();
    for (auto& thread : threads_) thread.join();
}

void ordered_compressor::push(std::unique_ptr<block_batch> batch) {
    auto next = std::make_shared<job>();
    next->batch = std::move(batch);
    queue_.push_back(next);
    if (threads_.empty()) {
        compress(*next->batch, own_);
        next->done = true;
        return;
    }
    {
        const std::lock_guard lock(mutex_);
        waiting_.push_back(std::move(next));
    }
    changed_.notify_all();
}

std::unique_ptr<block_batch> ordered_compressor::pop() {
    ASSERT(!queue_.empty());
    const auto oldest = std::move(queue_.front());
    queue_.pop_front();
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return oldest->done; });
    return std::move(oldest->batch);
}

void ordered_compressor::compress(block_batch& batch, block_compressor& with) const {
    batch.stored.clear();
    batch.lengths.clear();
    const const_bytes plain(batch.plain);
    for (std::size_t at = 0; at < plain.size(); at += options_.block_bytes) {
        const auto length = std::min<std::size_t>(options_.block_bytes, plain.size() - at);
        batch.lengths.push_back(with.append(plain.subspan(at, length), batch.stored));
    }
}

void ordered_compressor::work() {
    block_compressor mine(options_);
    std::unique_lock lock(mutex_);
    for (;;) {
        changed_.wait(lock, [&] { return stop_ || !waiting_.empty(); });
        if (stop_) return;
        const auto taken = std::move(waiting_.front());
        waiting_.pop_front();
        lock.unlock();
        compress(*taken->batch, mine);
        lock.lock();
        taken->done = true;
        changed_.notify_all();
    }
}

}  // namespace obd::layers
