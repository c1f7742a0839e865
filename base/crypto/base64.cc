#include "base/crypto/base64.h"

#include <array>
#include <cstdint>

namespace countersign {
namespace {

constexpr std::string_view kStandard =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view kUrl =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

constexpr std::array<int8_t, 256> Inverse(std::string_view alphabet) {
  std::array<int8_t, 256> values{};
  values.fill(-1);
  for (size_t i = 0; i < alphabet.size(); ++i) {
    values[static_cast<uint8_t>(alphabet[i])] = static_cast<int8_t>(i);
  }
  return values;
}
constexpr std::array<int8_t, 256> kStandardValues = Inverse(kStandard);
constexpr std::array<int8_t, 256> kUrlValues = Inverse(kUrl);

std::string Encode(std::string_view bytes, std::string_view alphabet) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  uint32_t bits = 0;
  int bit_count = 0;
  for (char c : bytes) {
    bits = (bits << 8) | static_cast<uint8_t>(c);
    for (bit_count += 8; bit_count >= 6; bit_count -= 6) {
      text.push_back(alphabet[(bits >> (bit_count - 6)) & 63]);
    }
  }
  if (bit_count > 0) {
    text.push_back(alphabet[(bits << (6 - bit_count)) & 63]);
  }
  return text;
}

StatusOr<std::string> Decode(std::string_view digits, const std::array<int8_t, 256>& values) {
  if (digits.size() % 4 == 1) {
    return InvalidArgument("base64 text of an impossible length");
  }
  std::string bytes;
  bytes.reserve(digits.size() / 4 * 3 + 2);
  uint32_t bits = 0;
  int bit_count = 0;
  for (size_t i = 0; i < digits.size(); ++i) {
    const int value{values[static_cast<uint8_t>(digits[i])]};
    if (value < 0) {
      return InvalidArgument("not a base64 digit at offset ", i);
    }
    bits = (bits << 6) | static_cast<uint32_t>(value);
    bit_count += 6;
    if (bit_count >= 8) {
      bit_count -= 8;
      bytes.push_back(static_cast<char>((bits >> bit_count) & 255));
    }
  }
  if ((bits & ((1u << bit_count) - 1)) != 0) {
    return InvalidArgument("base64 text has spare bits that are not zero");
  }
  return bytes;
}

}  // namespace

std::string Base64Encode(std::string_view bytes) {
  std::string text = Encode(bytes, kStandard);
  text.append((4 - text.size() % 4) % 4, '=');
  return text;
}

StatusOr<std::string> Base64Decode(std::string_view text) {
  if (text.size() % 4 != 0) {
    return InvalidArgument("base64 text is not padded to a multiple of 4");
  }
  for (int i = 0; i < 2 && text.ends_with('='); ++i) {
    text.remove_suffix(1);
  }
  return Decode(text, kStandardValues);
}

std::string Base64UrlEncode(std::string_view bytes) { return Encode(bytes, kUrl); }

StatusOr<std::string> Base64UrlDecode(std::string_view text) { return Decode(text, kUrlValues); }

}  // namespace countersign
