// What overlaybdctl's exit status means (docs/man/overlaybdctl.1).
#pragma once

namespace obd::ctl {

enum exit_code : int {
    done = 0,
    failed = 1,       ///< the daemon refused or could not do it
    wrong_usage = 2,  ///< the command line makes no sense
    unreachable = 3,  ///< no daemon answers on the admin socket
};

}  // namespace obd::ctl
