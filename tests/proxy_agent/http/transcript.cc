#include "tests/proxy_agent/http/transcript.h"

#include <algorithm>

namespace countersign::proxy::http {
namespace {

std::string Fields(std::span<const Header> headers) {
  std::string text;
  for (const Header& header : headers) {
    text += " [" + std::string(header.name) + "=" + std::string(header.value) + "]";
  }
  return text;
}

// Lines joins neighbouring pieces of a body into one line.
class Lines {
 public:
  void Add(const std::string& line) {
    Flush();
    text_ += line + "\n";
  }
  void AddBody(std::string_view data) { body_ += data; }
  std::string Take() {
    Flush();
    return std::move(text_);
  }

 private:
  void Flush() {
    if (!body_.empty()) {
      text_ += "body " + body_ + "\n";
      body_.clear();
    }
  }
  std::string text_;
  std::string body_;
};

constexpr size_t kPlenty = size_t{1} << 40;

std::string HeadLine(const RequestHead& head) {
  std::string line = "head " + std::string(head.method) + " " + std::string(head.target) + " " +
                     std::string(head.authority);
  if (head.body == BodyKind::kLength) {
    line += " length=" + std::to_string(head.content_length);
  }
  if (head.body == BodyKind::kChunked) {
    line += " chunked";
  }
  return line + (head.keep_alive ? "" : " close") + Fields(head.headers);
}

void Answer(ServerCodec& codec, StreamId stream) {
  StringSink sink;
  OutgoingResponse response;
  response.status = 200;
  codec.SendHead(stream, response, End::kYes, sink);
}

// OnServerEvent returns false when no more is to be fed.
bool OnServerEvent(ServerEvent& event, ServerCodec& codec, Lines& lines) {
  switch (event.kind) {
    case EventKind::kHead:
      codec.Credit(event.stream, kPlenty);
      lines.Add(HeadLine(*event.head));
      if (event.end == End::kYes && event.head->upgrade.empty()) {
        Answer(codec, event.stream);
      }
      return true;
    case EventKind::kBody:
      lines.AddBody(event.data);
      return true;
    case EventKind::kEnd:
      lines.Add("end" + Fields(event.trailers));
      Answer(codec, event.stream);
      return true;
    case EventKind::kError:
      lines.Add("error " + std::string(HttpErrorName(event.error)));
      return false;
    default:
      return true;
  }
}

}  // namespace

std::string ServerTranscript(std::string_view bytes, size_t piece_bytes, const HttpLimits& limits,
                             UnderscoreNames underscores) {
  HeadPools pools;
  const auto codec = MakeHttp1ServerCodec(limits, pools, underscores);
  Lines lines;
  for (const std::string& piece : Pieces(bytes, piece_bytes)) {
    std::string_view rest = piece;
    ServerEvent event;
    do {
      rest.remove_prefix(codec->Receive(rest, event));
      if (!OnServerEvent(event, *codec, lines)) {
        return lines.Take();
      }
    } while (event.kind != EventKind::kNeedMore && event.kind != EventKind::kBlocked);
  }
  return lines.Take();
}

std::string ClientTranscript(std::string_view bytes, size_t piece_bytes, const AskedRequest& asked,
                             const HttpLimits& limits) {
  HeadPools pools;
  const auto codec = MakeHttp1ClientCodec(limits, pools);
  RequestHead request;
  request.method = asked.method;
  StringSink sink;
  const StreamId stream = codec->SendRequest(
      {.head = &request, .target = "/", .host = "h", .edits = {}, .upgrade = asked.upgrade},
      End::kYes, sink);
  codec->Credit(stream, kPlenty);
  Lines lines;
  const auto on_event = [&](ClientEvent& event) {
    switch (event.kind) {
      case EventKind::kHead:
      case EventKind::kInterim:
      case EventKind::kSwitched:
        lines.Add((event.kind == EventKind::kHead ? "head " : "interim ") +
                  std::to_string(event.head->status) + Fields(event.head->headers) +
                  (event.end == End::kYes ? " end" : ""));
        break;
      case EventKind::kBody:
        lines.AddBody(event.data);
        break;
      case EventKind::kEnd:
        lines.Add("end" + Fields(event.trailers));
        break;
      case EventKind::kError:
        lines.Add("error " + std::string(HttpErrorName(event.error)));
        break;
      default:
        break;
    }
  };
  ClientEvent event;
  for (const std::string& piece : Pieces(bytes, piece_bytes)) {
    std::string_view rest = piece;
    do {
      rest.remove_prefix(codec->Receive(rest, event));
      on_event(event);
      if (event.kind == EventKind::kError) {
        return lines.Take();
      }
    } while (event.kind != EventKind::kNeedMore && event.kind != EventKind::kBlocked);
  }
  if (asked.close) {
    codec->ReceiveEnd(ClientCodec::CloseKind::kClean, event);
    on_event(event);
  }
  if (codec->Reusable()) {
    lines.Add("reusable");
  }
  return lines.Take();
}

std::unique_ptr<ParsedRequest> ParseRequest(std::string_view bytes, UnderscoreNames underscores) {
  auto parsed = std::make_unique<ParsedRequest>();
  parsed->codec = MakeHttp1ServerCodec(parsed->limits, parsed->pools, underscores);
  ServerEvent event;
  parsed->codec->Receive(bytes, event);
  parsed->error = event.error;
  parsed->head = std::move(event.head);
  return parsed;
}

}  // namespace countersign::proxy::http
