// The seam between the read half and the write half of layers/: open_image() knows writable layers by this interface
// only, so that a program that never writes does not link them.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <memory>

#include "base/result.hpp"
#include "layers/image.hpp"
#include "layers/image_config.hpp"

namespace obd::layers {

class read_stack;

/// layers/write implements it; image_services::uppers points to it. Thread-safe.
class upper_opener {
public:
    virtual ~upper_opener() = default;

    /// Puts the writable layer that `upper` names on top of `lowers` (never null; empty when the image has none).
    /// REQUIRES: upper.writable(). Failures name the file and the reason.
    virtual asio::awaitable<result<std::shared_ptr<image>>> open(upper_config upper,
                                                                 std::shared_ptr<const read_stack> lowers,
                                                                 image_services services) = 0;
};

}  // namespace obd::layers
