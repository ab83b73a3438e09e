// One operation that did not complete in place: the coroutine that runs it, and what it needs until it ends, even when
// its task, session and connection are gone before.
#pragma once

#include <boost/asio/cancellation_signal.hpp>
#include <memory>
#include <optional>

#include "protocol/iscsi/io_buffer.hpp"
#include "protocol/net/device_operations.hpp"
#include "protocol/net/late_operations.hpp"
#include "protocol/net/net_loop.hpp"
#include "protocol/scsi/device_server.hpp"

namespace obd::iscsi {

class task_runner;

struct flight : std::enable_shared_from_this<flight> {
    std::shared_ptr<net_loop> loop;  // first: the buffers are its
    std::shared_ptr<scsi::unit_nexus> unit;
    scsi::operation operation;
    io_buffer in;
    io_buffer out;
    std::uint32_t bytes = 0;    ///< of `in` that the initiator gets
    std::size_t out_bytes = 0;  ///< of `out` that the operation takes
    device_work work;
    asio::cancellation_signal cancel;
    task_runner* runner = nullptr;  ///< who waits for it; nothing when nobody does any more
    std::size_t task_index = 0;
    std::optional<result<scsi::operation_result>> outcome;
    std::shared_ptr<late_operations> late;  ///< where `ticket` is, once this was given up on
    late_operations::ticket ticket{};

    /// Starts it; the runner's landed() follows, on the loop, never from within.
    void start();
    /// Asks the device to give up. landed() follows as ever.
    void give_up();
    /// May its task end before it does? Only when it changes nothing on the medium.
    bool harmless() const;
    /// Nobody waits for it any more, though it is not harmless: others are kept off its range until it has ended.
    void leave_to(std::shared_ptr<late_operations> those);
};

}  // namespace obd::iscsi
