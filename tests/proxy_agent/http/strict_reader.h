// A second, independent reader of HTTP/1.1 requests: slow, obviously right, sharing no code with
// the proxy's. What it reads of forwarded bytes is compared with what was judged.
#pragma once

#include <cctype>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace countersign::testing_support {

struct ReadRequest {
  std::string method;
  std::string target;
  std::string host;
  std::vector<std::pair<std::string, std::string>> fields;  // Without host and framing.
  std::string body;
};

// ReadOneRequest reads exactly one request that fills `bytes`; nothing if there is any doubt.
inline std::optional<ReadRequest> ReadOneRequest(std::string bytes) {
  const auto line = [&]() -> std::optional<std::string> {
    const size_t end = bytes.find("\r\n");
    if (end == std::string::npos) {
      return std::nullopt;
    }
    std::string text = bytes.substr(0, end);
    bytes.erase(0, end + 2);
    if (text.find_first_of(std::string("\r\n\0", 3)) != std::string::npos) {
      return std::nullopt;
    }
    return text;
  };
  ReadRequest request;
  const auto start = line();
  if (!start) {
    return std::nullopt;
  }
  const size_t a = start->find(' ');
  const size_t b = start->rfind(' ');
  if (a == std::string::npos || a == b || start->substr(b) != " HTTP/1.1") {
    return std::nullopt;
  }
  request.method = start->substr(0, a);
  request.target = start->substr(a + 1, b - a - 1);
  if (request.target.find(' ') != std::string::npos) {
    return std::nullopt;
  }
  std::vector<std::string> hosts, lengths, codings;
  while (true) {
    const auto text = line();
    if (!text) {
      return std::nullopt;
    }
    if (text->empty()) {
      break;
    }
    const size_t colon = text->find(": ");
    if (colon == std::string::npos || colon == 0) {
      return std::nullopt;
    }
    const std::string name = text->substr(0, colon);
    const std::string value = text->substr(colon + 2);
    for (const char c : name) {
      if (!(std::islower(static_cast<unsigned char>(c)) != 0 ||
            std::isdigit(static_cast<unsigned char>(c)) != 0 ||
            std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos)) {
        return std::nullopt;
      }
    }
    if (name == "host") {
      hosts.push_back(value);
    } else if (name == "content-length") {
      lengths.push_back(value);
      request.fields.emplace_back(name, value);
    } else if (name == "transfer-encoding") {
      codings.push_back(value);
    } else {
      request.fields.emplace_back(name, value);
    }
  }
  if (hosts.size() != 1 || lengths.size() + codings.size() > 1) {
    return std::nullopt;
  }
  request.host = hosts.front();
  if (!codings.empty()) {
    if (codings.front() != "chunked") {
      return std::nullopt;
    }
    while (true) {
      const auto size_text = line();
      if (!size_text || size_text->empty() ||
          size_text->find_first_not_of("0123456789abcdef") != std::string::npos) {
        return std::nullopt;
      }
      const size_t size = std::strtoull(size_text->c_str(), nullptr, 16);
      if (size == 0) {
        break;
      }
      if (bytes.size() < size + 2 || bytes.substr(size, 2) != "\r\n") {
        return std::nullopt;
      }
      request.body += bytes.substr(0, size);
      bytes.erase(0, size + 2);
    }
    const auto last = line();
    if (!last || !last->empty()) {
      return std::nullopt;  // Trailers are not forwarded in these tests.
    }
  } else if (!lengths.empty()) {
    const size_t size = std::strtoull(lengths.front().c_str(), nullptr, 10);
    if (bytes.size() < size) {
      return std::nullopt;
    }
    request.body = bytes.substr(0, size);
    bytes.erase(0, size);
  }
  if (!bytes.empty()) {
    return std::nullopt;
  }
  return request;
}

}  // namespace countersign::testing_support
