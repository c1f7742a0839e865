// Predicates: "this value matches one of these", judged directly on one value. Where an index has
// already found a box, these judge the rest of it.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "authz/engine/patterns.h"
#include "authz/engine/string_index.h"
#include "authz/engine/text_match.h"
#include "authz/model/field.h"
#include "authz/model/request.h"
#include "base/status.h"

namespace countersign::authz::engine {

// TextPredicate is over one string. Many matchers are kept in an index of their own.
class TextPredicate {
 public:
  static StatusOr<TextPredicate> Create(const std::vector<Matcher>& any_of,
                                        const std::string& coordinate, PatternStore& patterns);
  bool Matches(std::string_view value, const PatternStore& patterns, LookupScratch& scratch,
               bool remember) const;

 private:
  struct Item {
    Matcher::Kind kind;
    uint32_t pattern = 0;
    std::string text;
  };
  bool MatchesItem(const Item& item, std::string_view value, const PatternStore& patterns,
                   LookupScratch& scratch, bool remember) const;
  bool any_value_ = false;  // One of the matchers asks for presence only.
  std::vector<Item> items_;
  std::unique_ptr<const StringIndex> index_;
};

// IpPredicate is over an address: ascending, disjoint ranges.
class IpPredicate {
 public:
  explicit IpPredicate(const std::vector<Matcher>& any_of);
  bool Matches(const IpAddress& address) const;

 private:
  using Bytes = std::array<uint8_t, 16>;
  bool any_value_ = false;
  std::vector<std::pair<Bytes, Bytes>> ranges_;  // Both ends included.
};

// PortPredicate is over a port: ascending numbers.
class PortPredicate {
 public:
  explicit PortPredicate(const std::vector<Matcher>& any_of);
  bool Matches(uint16_t port) const;

 private:
  bool any_value_ = false;
  std::vector<uint16_t> ports_;
};

// IpIndex finds what was filed under ranges that hold an address: one look-up a prefix length.
class IpIndex {
 public:
  void Add(const IpRange& range, uint32_t payload);
  bool empty() const { return lengths_.empty(); }

  template <class Emit>
  void ForEach(const IpAddress& address, Emit&& emit) const {
    for (uint8_t length : lengths_) {
      if (auto found = payloads_.find(Key(address.bytes, length)); found != payloads_.end()) {
        for (uint32_t payload : found->second) {
          emit(payload);
        }
      }
    }
  }

 private:
  struct MaskedRange {
    std::array<uint8_t, 16> address;
    uint8_t length;
    bool operator==(const MaskedRange&) const = default;
  };
  struct Hash {
    size_t operator()(const MaskedRange& range) const {
      return HashBytes(range.length,
                       {reinterpret_cast<const char*>(range.address.data()), range.address.size()});
    }
  };
  static MaskedRange Key(const std::array<uint8_t, 16>& address, uint8_t length);
  std::vector<uint8_t> lengths_;
  std::unordered_map<MaskedRange, std::vector<uint32_t>, Hash> payloads_;
};

}  // namespace countersign::authz::engine
