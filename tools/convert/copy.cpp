// Passing finished images on: their bytes stay as they are.
#include <utility>
#include <vector>

#include "base/digest.hpp"
#include "base/json/fields.hpp"
#include "tools/convert/conversion.hpp"
#include "tools/convert/json_text.hpp"

namespace obd::convert {
namespace {

result<void> copy_blob(image_reader& from, image_writer& to, const descriptor& what, progress& shown) {
    const auto label = what.digest.substr(0, 19);
    TRY(bool there, to.has_blob(what.digest));
    if (!there && !from.repository().empty()) {
        TRY(there, to.mount_blob(what.digest, from.repository()));
    }
    if (there) {
        shown.line("blob " + label + ": is there already");
        return {};
    }
    TRY(auto source, from.source(what));
    const auto show = [&](std::uint64_t sent) { shown.status("blob " + label, sent, what.size.value); };
    TRYV(to.put_blob(what, std::move(source), show));
    shown.line("blob " + label + ": " + human_bytes(what.size.value));
    return {};
}

result<void> copy_manifest(image_reader& from, image_writer& to, const document& what, image_writer::naming how,
                           progress& shown) {
    const auto where = from.name() + ": manifest " + what.digest;
    TRY(const auto parsed, json::parse(what.bytes, where));
    if (const auto* entries = member(parsed, "manifests"); entries != nullptr && entries->IsArray()) {
        for (const auto& entry : entries->GetArray()) {
            TRY(const auto found, descriptor_of(entry, where));
            TRY(const auto inner, from.manifest(found));
            TRYV(copy_manifest(from, to, inner, image_writer::naming::by_digest, shown));
        }
    }
    if (const auto* config = member(parsed, "config")) {
        TRY(const auto found, descriptor_of(*config, where));
        TRYV(copy_blob(from, to, found, shown));
    }
    if (const auto* layers = member(parsed, "layers"); layers != nullptr && layers->IsArray()) {
        for (const auto& layer : layers->GetArray()) {
            TRY(const auto found, descriptor_of(layer, where));
            TRYV(copy_blob(from, to, found, shown));
        }
    }
    document typed = what;
    if (const auto type = string_member(parsed, "mediaType"); !type.empty()) typed.media_type = type;
    return to.put_manifest(typed, how);
}

}  // namespace

result<std::string> copy_image(image_reader& from, image_writer& to, progress& shown) {
    TRY(const auto root, from.root());
    TRYV(copy_manifest(from, to, root, image_writer::naming::named, shown));
    return root.digest;
}

}  // namespace obd::convert
