// The one place where a failure of the world becomes what an initiator is told.
#pragma once

#include "base/result.hpp"
#include "protocol/scsi/task.hpp"

namespace obd::iscsi {

enum class media_access : std::uint8_t { read, write };

/// `code` is CHECK CONDITION with `sense`, or a status that stands by itself (BUSY).
struct sense_or_status {
    scsi::status code = scsi::status::check_condition;
    scsi::sense sense{};
};

/// What Linux does with it: ABORTED COMMAND and BUSY are tried again, MEDIUM ERROR and DATA PROTECT are given to the
/// user.
sense_or_status to_sense(const failure& what, media_access access);

}  // namespace obd::iscsi
