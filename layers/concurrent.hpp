// Several coroutines at once, awaited as one.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <vector>

#include "base/result.hpp"

namespace obd::layers {

namespace asio = boost::asio;

/// How many reads one operation has under way at most: enough to hide a registry's latency, few enough to be fair.
inline constexpr std::size_t lanes_per_operation = 16;

/// Starts all `jobs` on the caller's executor and completes, there, when the last one has ended: with the first failure
/// if there was one. Jobs run at the same time where the executor has several threads. Cancelling the caller cancels
/// the jobs; a cancelled or throwing job counts as a failure.
asio::awaitable<result<void>> run_all(std::vector<asio::awaitable<result<void>>> jobs);

}  // namespace obd::layers
