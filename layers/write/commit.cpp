#include "layers/write/commit.hpp"

#include <algorithm>
#include <utility>

#include "layers/write/blocking.hpp"
#include "layers/write/tar_writer.hpp"

namespace obd::layers {
namespace {

constexpr std::uint64_t sectors_a_read = 2048;  // 1 MiB; a multiple of the 32 KiB steps in which entries are made

class upper_source final : public commit_source {
public:
    explicit upper_source(std::shared_ptr<upper> layer) : layer_(std::move(layer)), mappings_(layer_->index().dump()) {}
    std::span<const lsmt::packed_mapping> mappings() const override { return mappings_; }
    result<void> read(const lsmt::mapping& part, mutable_bytes out) override {
        return layer_->data().read(to_bytes(part.moffset), out);
    }

private:
    std::shared_ptr<upper> layer_;
    std::vector<lsmt::packed_mapping> mappings_;
};

class layer_source final : public commit_source {
public:
    explicit layer_source(std::shared_ptr<const opened_layer> layer) : layer_(std::move(layer)) {}
    std::span<const lsmt::packed_mapping> mappings() const override { return layer_->lsmt->mappings(); }
    result<void> read(const lsmt::mapping& part, mutable_bytes out) override {
        auto& source = layer_->lsmt->source();
        if (source.try_read(to_bytes(part.moffset), out) == attempt::complete) return {};
        auto got = run_blocking(source.read(to_bytes(part.moffset), out));
        if (!got) return in_context(std::move(got).error(), "layer " + layer_->name);
        return got;
    }

private:
    std::shared_ptr<const opened_layer> layer_;
};

class stack_source final : public commit_source {
public:
    stack_source(std::shared_ptr<const read_stack> lowers, std::shared_ptr<upper> top)
        : lowers_(std::move(lowers)), top_(std::move(top)) {
        if (!top_) return;
        auto own = top_->index().dump();
        for (auto& entry : own) entry = entry.with_tag(top_tag);
        merged_ = merge_over(own, lowers_->index().entries());
    }
    std::span<const lsmt::packed_mapping> mappings() const override {
        return top_ ? std::span<const lsmt::packed_mapping>(merged_) : lowers_->index().entries();
    }
    result<void> read(const lsmt::mapping& part, mutable_bytes out) override {
        if (top_ && part.tag == top_tag) return top_->data().read(to_bytes(part.moffset), out);
        if (lowers_->try_read(to_bytes(part.start), out) == attempt::complete) return {};
        return run_blocking(lowers_->read(to_bytes(part.start), out));
    }

private:
    static constexpr std::uint8_t top_tag = 255;  // read-only layers are numbered up to 254 when there is an upper

    std::shared_ptr<const read_stack> lowers_;
    std::shared_ptr<upper> top_;
    std::vector<lsmt::packed_mapping> merged_;
};

result<void> copy_data(commit_source& from, const lsmt::mapping& what, lsmt_writer& to,
                       std::vector<std::byte>& buffer) {
    for (sector at = what.start; at < what.end();) {
        const sector stop{std::min(what.end().value, at.value + sectors_a_read)};
        const auto part = lsmt::clipped(what, at, stop);
        const auto bytes = mutable_bytes(buffer).first(part.length * sector_bytes);
        TRYV(from.read(part, bytes));
        TRYV(to.data(at, bytes));
        at = stop;
    }
    return {};
}

}  // namespace

std::unique_ptr<commit_source> source_of(std::shared_ptr<upper> layer) {
    return std::make_unique<upper_source>(std::move(layer));
}
std::unique_ptr<commit_source> source_of(std::shared_ptr<const opened_layer> layer) {
    return std::make_unique<layer_source>(std::move(layer));
}
std::unique_ptr<commit_source> source_of(std::shared_ptr<const read_stack> lowers, std::shared_ptr<upper> top) {
    return std::make_unique<stack_source>(std::move(lowers), std::move(top));
}

result<zfile_totals> write_wrapped(const layer_wrapping& wrapping, byte_sink& to,
                                   const std::function<result<void>(byte_sink&)>& write_content) {
    std::unique_ptr<tar_writer> tar;
    if (wrapping.tar) {
        TRY(tar, tar_writer::begin(to));
    }
    byte_sink& payload = tar ? *tar : to;
    zfile_totals totals;
    if (wrapping.zfile) {
        TRY(const auto zfile, zfile_writer::begin(payload, *wrapping.zfile, wrapping.index_at));
        TRYV(write_content(*zfile));
        TRY(totals, zfile->finish());
    } else {
        TRYV(write_content(payload));
    }
    if (tar) {
        TRYV(tar->finish());
    }
    return totals;
}

result<commit_totals> commit_layer(commit_source& from, const layer_description& description,
                                   const layer_wrapping& wrapping, byte_sink& to, const commit_progress& progress) {
    commit_totals totals;
    auto write_layer = [&](byte_sink& sink) -> result<void> {
        TRY(auto writer, lsmt_writer::begin(sink, description));
        std::vector<std::byte> buffer(sectors_a_read * sector_bytes);
        std::uint64_t all = 0;
        for (const auto& entry : from.mappings()) all += entry.length();
        std::uint64_t done = 0;
        for (const auto& entry : from.mappings()) {
            const auto m = lsmt::unpack(entry);
            if (m.zeroed) {
                TRYV(writer.zeroed(m.start, m.length));
            } else {
                TRYV(copy_data(from, m, writer, buffer));
            }
            done += m.length;
            if (progress) progress(done, all);
        }
        TRY(totals.layer, writer.finish());
        return {};
    };
    TRY(totals.zfile, write_wrapped(wrapping, to, write_layer));
    return totals;
}

}  // namespace obd::layers
