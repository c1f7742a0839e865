#include "proxy_agent/http/serializer.h"

#include <charconv>

#include "proxy_agent/http/fields.h"

namespace countersign::proxy::http {
namespace {

bool Replaced(const Header& header, const ForwardEdits& edits) {
  return (header.id == HeaderId::kTraceparent && !edits.traceparent.empty()) ||
         (header.id == HeaderId::kTracestate &&
          (!edits.tracestate.empty() || !edits.traceparent.empty()));
}

// An edit that is no clean field value would be a hole; leaving it out only narrows what the
// application learns.
void AddEdit(std::string_view name, std::string_view value, HeadWriter& out) {
  if (IsFieldValue(value)) {
    out.AddField(name, value);
  }
}

}  // namespace

void HeadWriter::Flush() {
  if (size_ > 0) {
    sink_.Write({buffer_.data(), size_});
    size_ = 0;
  }
}

void HeadWriter::AddField(std::string_view name, std::string_view value) {
  Add(name);
  Add(": ");
  Add(value);
  Add("\r\n");
}

void HeadWriter::AddNumber(uint64_t value, int base) {
  std::array<char, 20> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value, base).ptr;
  Add({digits.data(), static_cast<size_t>(end - digits.data())});
}

void WriteRequestHead(const OutgoingRequest& request, ByteSink& sink) {
  const RequestHead& head = *request.head;
  HeadWriter out(sink);
  out.Add(head.method);
  out.Add(" ");
  out.Add(request.target);
  out.Add(" HTTP/1.1\r\n");
  out.AddField("host", request.host);
  for (const Header& header : head.headers) {
    if (header.fate == HeaderFate::kEndToEnd && !Replaced(header, request.edits)) {
      out.AddField(header.name, header.value);
    }
  }
  AddEdit("x-forwarded-client-cert", request.edits.forwarded_client_cert, out);
  AddEdit("traceparent", request.edits.traceparent, out);
  AddEdit("tracestate", request.edits.tracestate, out);
  if (!request.upgrade.empty()) {
    out.Add("connection: upgrade\r\n");
    out.AddField("upgrade", request.upgrade);
  }
  if (head.body == BodyKind::kLength) {
    out.Add("content-length: ");
    out.AddNumber(head.content_length, 10);
    out.Add("\r\n");
  } else if (head.body == BodyKind::kChunked) {
    out.Add("transfer-encoding: chunked\r\n");
  }
  out.Add("\r\n");
}

void WriteResponseHead(const OutgoingResponse& response, const ResponseFraming& framing,
                       ByteSink& sink) {
  HeadWriter out(sink);
  out.Add("HTTP/1.1 ");
  out.AddNumber(static_cast<uint64_t>(response.status), 10);
  out.Add(" ");
  out.Add(ReasonPhrase(response.status));
  out.Add("\r\n");
  for (const Header& header : response.headers) {
    const bool kept =
        header.fate == HeaderFate::kEndToEnd || header.fate == HeaderFate::kHost ||
        (header.fate == HeaderFate::kInternal && response.internal == InternalHeaders::kKeep);
    if (kept) {
      out.AddField(header.name, header.value);
    }
  }
  if (response.status == 101) {
    out.Add("connection: upgrade\r\n");
    out.AddField("upgrade", response.upgrade);
  } else if (framing.close) {
    out.Add("connection: close\r\n");
  }
  if (framing.length == ResponseFraming::Length::kLength) {
    out.Add("content-length: ");
    out.AddNumber(framing.content_length, 10);
    out.Add("\r\n");
  } else if (framing.length == ResponseFraming::Length::kChunked) {
    out.Add("transfer-encoding: chunked\r\n");
  }
  out.Add("\r\n");
}

void WriteChunk(std::string_view data, ByteSink& sink) {
  {
    HeadWriter out(sink);
    out.AddNumber(data.size(), 16);
    out.Add("\r\n");
  }
  sink.Write(data);
  sink.Write("\r\n");
}

void WriteLastChunk(std::span<const Header> trailers, ByteSink& sink) {
  HeadWriter out(sink);
  out.Add("0\r\n");
  for (const Header& trailer : trailers) {
    if (trailer.fate == HeaderFate::kEndToEnd) {
      out.AddField(trailer.name, trailer.value);
    }
  }
  out.Add("\r\n");
}

std::string_view ReasonPhrase(int status) {
  switch (status) {
    case 100:
      return "Continue";
    case 101:
      return "Switching Protocols";
    case 103:
      return "Early Hints";
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 206:
      return "Partial Content";
    case 301:
      return "Moved Permanently";
    case 302:
      return "Found";
    case 304:
      return "Not Modified";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 417:
      return "Expectation Failed";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "";
  }
}

}  // namespace countersign::proxy::http
