#include "tests/proxy_agent/http/forwarding.h"

#include <utility>
#include <vector>

#include "tests/proxy_agent/http/strict_reader.h"
#include "tests/proxy_agent/http/transcript.h"

namespace countersign::proxy::http {

std::string ForwardedDiffers(std::string_view bytes, std::string_view xfcc) {
  const auto parsed = ParseRequest("");  // For its pools and limits.
  const auto server = std::move(parsed->codec);
  const auto client = MakeHttp1ClientCodec(parsed->limits, parsed->pools);
  ServerEvent event;
  bytes.remove_prefix(server->Receive(bytes, event));
  if (event.kind != EventKind::kHead || !event.head->upgrade.empty()) {
    return "";
  }
  const RequestHeadPtr head = std::move(event.head);
  ForwardEdits edits;
  edits.forwarded_client_cert = xfcc;
  StringSink sink;
  const StreamId stream = client->SendRequest({.head = head.get(),
                                               .target = head->target,
                                               .host = head->authority,
                                               .edits = edits,
                                               .upgrade = {}},
                                              event.end, sink);
  server->Credit(event.stream, size_t{1} << 40);
  std::string body;
  bool complete = event.end == End::kYes;
  while (!complete) {
    bytes.remove_prefix(server->Receive(bytes, event));
    if (event.kind == EventKind::kBody) {
      body += event.data;
      client->SendBody(stream, event.data, sink);
    } else if (event.kind == EventKind::kEnd) {
      client->SendEnd(stream, {}, sink);
      complete = true;
    } else {
      return "";  // Refused, or not all there.
    }
  }
  auto read = testing_support::ReadOneRequest(sink.text);
  if (!read) {
    return "the independent reader refuses: " + sink.text;
  }
  std::vector<std::pair<std::string, std::string>> judged;
  for (const Header& header : head->headers) {
    if (IsJudged(header)) {
      judged.emplace_back(header.name, header.value);
    }
  }
  // content-length stands last, where the serializer writes it; x-forwarded-client-cert is the
  // edit.
  std::erase_if(judged, [](const auto& field) { return field.first == "content-length"; });
  if (!xfcc.empty()) {
    judged.emplace_back("x-forwarded-client-cert", xfcc);
  }
  if (head->body == BodyKind::kLength) {
    judged.emplace_back("content-length", std::to_string(head->content_length));
  }
  if (read->method != head->method || read->target != head->target ||
      read->host != head->authority) {
    return "another request line or host: " + sink.text;
  }
  if (read->fields != judged) {
    return "other fields: " + sink.text;
  }
  return read->body == body ? "" : "another body: " + sink.text;
}

}  // namespace countersign::proxy::http
