// The property that what upstream reads, less ForwardEdits, is what was judged.
#pragma once

#include <string>
#include <string_view>

namespace countersign::proxy::http {

// ForwardedDiffers reads one request from `bytes`, forwards it whole with `xfcc` as the caller's
// identity, has the independent reader read what went out, and compares. Empty: the property holds,
// or the request was refused or is incomplete. Else: what differs.
std::string ForwardedDiffers(std::string_view bytes, std::string_view xfcc);

}  // namespace countersign::proxy::http
