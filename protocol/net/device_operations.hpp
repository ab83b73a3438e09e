// Runs one scsi::operation on a block device. Shell: coroutines, one per kind of operation.
#pragma once

#include <boost/asio/awaitable.hpp>

#include "base/block_device.hpp"
#include "base/result.hpp"
#include "protocol/iscsi/io_buffer.hpp"
#include "protocol/scsi/task.hpp"

namespace obd::iscsi {

/// Everything an operation needs; the owner keeps it alive until the awaitable completes.
struct device_work {
    block_device* device = nullptr;
    const scsi::operation* operation = nullptr;
    mutable_bytes data_in;  ///< read: filled completely
    const_bytes data_out;   ///< what arrived; at most operation->data_out_bytes
    buffer_pool* buffers = nullptr;
};

/// REQUIRES: the device accepts the operation's range; data_out holds whole logical blocks.
asio::awaitable<result<scsi::operation_result>> run_operation(const device_work& work);

}  // namespace obd::iscsi
