// Makes a `pusher` out of an uploader: moves between the caller's executor and the strand, reads, resumes.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <memory>

#include "registry/push.hpp"
#include "registry/uploader.hpp"

namespace obd::registry {

/// `owner` keeps alive what the uploader borrows.
std::unique_ptr<pusher> make_pusher(std::unique_ptr<uploader> uploads, asio::any_io_executor strand,
                                    retry_policy policy, std::shared_ptr<void> owner);

}  // namespace obd::registry
