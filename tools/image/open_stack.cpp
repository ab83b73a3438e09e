#include "tools/image/open_stack.hpp"

#include <utility>

#include "layers/write/blocking.hpp"
#include "layers/write/host_file.hpp"

namespace obd::tools {
namespace {

/// Takes the read-only layers out of open_image() on their way to a writable one.
class stack_taker final : public layers::upper_opener {
public:
    asio::awaitable<result<std::shared_ptr<layers::image>>> open(layers::upper_config,
                                                                 std::shared_ptr<const layers::read_stack> lowers,
                                                                 layers::image_services) override {
        taken = std::move(lowers);
        co_return fail(errc::cancelled, "taken");
    }
    std::shared_ptr<const layers::read_stack> taken;
};

}  // namespace

result<opened_stack> open_stack(layers::image_config config, const std::string& where,
                                layers::image_services services) {
    const auto upper = config.upper;
    config.result_file.clear();  // that tells whether a device started
    if (!upper.writable()) config.upper = {.index = "-", .data = "-", .target = {}, .gzip_index = {}};
    if (config.lowers.empty() && !upper.writable()) {
        return fail(errc::invalid_argument, where + ": neither lowers nor a writable upper");
    }
    stack_taker taker;
    services.uppers = &taker;
    auto opened = layers::run_blocking(layers::open_image(std::move(config), services));
    if (!taker.taken) return std::move(opened).error();
    opened_stack stack{.lowers = taker.taken, .top = nullptr};
    if (!upper.writable()) return stack;
    const layers::upper_opening how{.files = std::make_shared<layers::host_file_system>(),
                                    .paths = {.data = upper.data, .index = upper.index},
                                    .inherited_size = stack.lowers->size(),
                                    .mode = layers::upper_opening::access::read_only};
    TRY(stack.top, layers::open_upper(how));
    return stack;
}

}  // namespace obd::tools
