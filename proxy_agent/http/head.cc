#include "proxy_agent/http/head.h"

namespace countersign::proxy::http {
namespace {

void ClearMessage(MessageHead& head) {
  head.headers.clear();
  head.text.clear();
  head.version = HttpVersion::kHttp11;
  head.body = BodyKind::kNone;
  head.content_length = 0;
}

}  // namespace

const Header* MessageHead::Find(HeaderId id) const {
  for (const Header& header : headers) {
    if (header.id == id) {
      return &header;
    }
  }
  return nullptr;
}

void RequestHead::Clear() {
  ClearMessage(*this);
  method = target = authority = upgrade = {};
  keep_alive = true;
  expects_continue = false;
}

void ResponseHead::Clear() {
  ClearMessage(*this);
  status = 0;
  reason = upgrade = {};
  keep_alive = true;
}

}  // namespace countersign::proxy::http
