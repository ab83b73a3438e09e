#include "protocol/net/flight.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>

#include "protocol/net/task_runner.hpp"

namespace obd::iscsi {
namespace {

asio::awaitable<void> fly(std::shared_ptr<flight> one) {
    auto outcome = co_await run_operation(one->work);
    one->outcome.emplace(std::move(outcome));
}

}  // namespace

void flight::start() {
    work = {&unit->device(), &operation, in.bytes(), const_bytes(out.bytes()).first(out_bytes), &loop->buffers()};
    auto self = shared_from_this();
    auto on_end = [self](std::exception_ptr thrown) {
        // Only memory can run out here.
        if (thrown || !self->outcome) self->outcome.emplace(obd::fail(errc::limit_exceeded, "out of memory"));
        if (self->late) self->late->remove(self->ticket);
        if (self->runner != nullptr) self->runner->landed(*self);
    };
    asio::co_spawn(loop->context(), fly(self), asio::bind_cancellation_slot(cancel.slot(), std::move(on_end)));
}

void flight::give_up() {
    asio::post(loop->context(), [self = shared_from_this()] { self->cancel.emit(asio::cancellation_type::terminal); });
}

void flight::leave_to(std::shared_ptr<late_operations> those) {
    late = std::move(those);
    ticket = late->add(unit->device(), operation, out.size());
}

bool flight::harmless() const {
    switch (operation.kind) {
        case scsi::operation_kind::read:
        case scsi::operation_kind::verify:
        case scsi::operation_kind::verify_compare:
        case scsi::operation_kind::prefetch:
        case scsi::operation_kind::extents:
        case scsi::operation_kind::flush:
            return true;
        default:
            return false;
    }
}

}  // namespace obd::iscsi
