// The compiled form of a policy: what CompiledPolicy holds and Decide reads. Plain data, immutable
// once the compiler has made it; the scratch and the views are one thread's.
//
// For HTTP and for TCP apart: groups (policies that guard the same callees), each with its boxes.
// A box is found either by its connection (its caller, say; then it is one of few that a view
// keeps), or by the request (its path, say), or it is one of the plain ones that are always tried.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "authz/engine/patterns.h"
#include "authz/engine/predicate.h"
#include "authz/engine/string_index.h"
#include "authz/model/decision.h"
#include "authz/model/policy.h"
#include "authz/model/request.h"

namespace countersign::authz::engine {

inline constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

// Span is a run of numbers into one of a Half's pools.
struct Span {
  uint32_t begin = 0;
  uint32_t end = 0;
  bool empty() const { return begin == end; }
};

// Check is one condition that a candidate box still has to pass.
struct Check {
  enum class Kind : uint8_t {
    kText,     // `predicate` over a string.
    kOneText,  // One matcher over a string, here in place.
    kMethods,  // Half::method_masks[predicate] over the request's method.
    kIp,
    kPort,
    kAuthenticated,  // The caller is there.
    kMesh,           // The caller's trust domain is the callee's.
  };
  Kind kind = Kind::kText;
  Field field = Field::kId;
  Matcher::Kind matcher = Matcher::Kind::kExact;
  bool on_absent = false;    // The verdict when there is no value.
  bool on_no_token = false;  // Of a claim: the verdict when no token was verified.
  bool many = false;         // The key may occur more than once ...
  bool all_values = false;   // ... and then all values must match, else any.
  bool is_key = false;       // The request's index has judged it, if that found the box.
  bool ends = false;         // The last one of its exception.
  uint16_t slot = 0;         // Of a header or query key or claim.
  uint32_t predicate = 0;
  uint32_t text_at = 0;  // Of kOneText, in bytes from the box; for a pattern, `predicate` says it.
  uint32_t text_size = 0;
};

// Box is the head of a record in Half::records. Behind it stand its checks, of the connection
// first, then of the request, then its exceptions; and behind those their texts. So one box is one
// or two lines of memory beside each other.
struct Box {
  uint64_t methods = 0;  // A bit for each method of Half::methods that it admits.
  int64_t expires = kNever;
  uint32_t rule = 0;
  uint16_t connection_checks = 0;
  uint16_t request_checks = 0;
  uint16_t exception_checks = 0;
  bool asks_method = false;
  bool trial = false;
  Effect effect = Effect::kDeny;
  bool alone = false;  // Its rule has no other box here.

  const Check* checks() const { return reinterpret_cast<const Check*>(this + 1); }
  std::string_view text(const Check& check) const {
    return {reinterpret_cast<const char*>(this) + check.text_at, check.text_size};
  }
};

// RequestIndex finds boxes by one coordinate of the request.
struct RequestIndex {
  Field field = Field::kPath;
  uint16_t slot = 0;
  StringIndex index;
};

// KeyGuard is a header or query key that may occur once only.
struct KeyGuard {
  uint16_t slot = 0;
  bool trial = false;      // Only policies on trial ask for it.
  int64_t until = kNever;  // The rules that ask for it expire then.
};

// Group holds the boxes of all policies with one guard.
struct Group {
  Matcher scope;
  uint32_t scope_pattern = 0;   // If the scope is a pattern.
  bool enforced = false;        // Some policy of it is not on trial.
  int64_t unmatched_until = 0;  // Lets unmatched requests through before then.
  std::vector<KeyGuard> key_guards;
  // Boxes found by the connection.
  StringIndex by_id;
  StringIndex by_trust_domain;
  IpIndex by_ip;
  StringIndex by_sni;
  std::unordered_map<uint16_t, std::vector<uint32_t>> by_port;
  // The same boxes by the request, for connections that leave many of them over.
  std::vector<RequestIndex> kept_by_request;
  // Boxes found by the request alone, and those that nothing finds.
  std::vector<RequestIndex> free_by_request;
  std::vector<uint32_t> free_plain;
};

// KeySlots numbers the header names, query keys or claims that rules name.
struct KeySlots {
  std::map<std::string, uint16_t, std::less<>> numbers;
  // Built by Freeze: `numbers` once more, for one look-up a line of the request.
  struct Place {
    std::string_view name;  // Of `numbers`.
    uint16_t slot = 0;
    bool used = false;
  };
  std::vector<Place> table;
  // Cheap test that most names fail: a bit for each length and first byte that occurs.
  uint64_t filter = 0;
  static uint64_t Bit(std::string_view name) {
    return (name.size() * 7 + (name.empty() ? 0 : static_cast<uint8_t>(name[0]))) % 64;
  }
  void Freeze();
  bool Find(std::string_view name, uint16_t* slot) const {
    return (filter >> Bit(name) & 1) != 0 && FindInTable(name, slot);
  }
  bool FindInTable(std::string_view name, uint16_t* slot) const;
};

// Half is the policy for one kind of connection.
struct Half {
  std::vector<uint64_t> records;  // Boxes with what is theirs, one behind the other.
  std::vector<uint32_t> places;   // By box: where its record begins.
  std::vector<TextPredicate> texts;
  std::vector<IpPredicate> ips;
  std::vector<PortPredicate> ports;
  std::vector<std::string> methods;        // At most 64; others are text.
  std::vector<uint64_t> method_words;      // Of each: MethodWord.
  std::vector<uint64_t> method_masks;      // Of exceptions.
  std::vector<uint8_t> has_request_index;  // By box.
  StringIndex guards;                      // Callee to groups, times two, plus kScopeHolds.
  std::vector<uint32_t> guards_any;  // The same for groups of every callee that scope lets in.
  std::vector<Group> groups;
  KeySlots headers;
  KeySlots queries;
  KeySlots claims;
  uint16_t slots = 0;  // Of all families together.

  static constexpr uint32_t kScopeHolds = 1;  // The compiler has judged the scope.
  size_t box_count() const { return places.size(); }
  // A short method in one word; 0 for longer ones.
  static uint64_t MethodWord(std::string_view method) {
    uint64_t word = 0;
    if (method.size() < sizeof(word)) {
      method.copy(reinterpret_cast<char*>(&word), method.size());
      word |= uint64_t{method.size() + 1} << 56;
    }
    return word;
  }
  const Box& box(uint32_t number) const {
    return *reinterpret_cast<const Box*>(records.data() + places.data()[number]);
  }
  // Asks for the box's memory, which is needed soon.
  void Soon(uint32_t number) const {
    const uint64_t* record = records.data() + places.data()[number];
    __builtin_prefetch(record);
    __builtin_prefetch(record + 8);
  }
};

struct RuleInfo {
  uint32_t set = 0;
  uint32_t policy = 0;
  uint32_t rule = 0;
  Effect effect = Effect::kDeny;
  bool trial = false;
  int64_t expires = kNever;
};

struct Program {
  explicit Program(const EngineLimits& limits) : patterns(limits) {}
  uint64_t id = 0;  // Of this object, for scratch and views; no two programs share one.
  std::vector<std::shared_ptr<const PolicySet>> sets;
  std::string digest;
  std::vector<RuleInfo> rules;
  PatternStore patterns;
  Half http;
  Half tcp;
  const Half& half(RequestKind kind) const { return kind == RequestKind::kHttp ? http : tcp; }
};

// Stamps is a set of small numbers that is emptied in one step.
class Stamps {
 public:
  void Fit(size_t size) { stamps_.assign(size, 0); }
  void Clear() {
    if (++now_ == 0) {
      std::fill(stamps_.begin(), stamps_.end(), 0U);
      now_ = 1;
    }
  }
  bool Has(uint32_t number) const { return stamps_[number] == now_; }
  // Insert says whether the number is new.
  bool Insert(uint32_t number) {
    if (stamps_[number] == now_) {
      return false;
    }
    stamps_[number] = now_;
    return true;
  }

 private:
  std::vector<uint32_t> stamps_;
  uint32_t now_ = 1;
};

// ViewGroup is what a connection leaves over of one group.
struct ViewGroup {
  uint32_t group = 0;
  Span boxes;               // Of ViewState::boxes: to be tried one by one.
  bool by_request = false;  // There are more, marked in ViewState::marked: find them by request.
};

// View is what a connection leaves over; it borrows.
struct View {
  std::span<const ViewGroup> groups;
  const uint32_t* boxes = nullptr;
  const uint64_t* marked = nullptr;  // A bit a box; read only if a group is by_request.
};

// ViewState is a view that is kept, in one block of memory: this, groups, boxes, marks, names.
struct ViewState {
  // Keep copies the view that BuildView left in `scratch`.
  static std::unique_ptr<ViewState> Keep(const struct Program& program,
                                         const CanonicalRequest& request,
                                         const struct ScratchState& scratch);
  // IsOf compares the whole connection.
  bool IsOf(const struct Program& program, const CanonicalRequest& request) const;
  // Asks for the memory of the first boxes, which are needed if the view is of the request.
  void Soon(const struct Program& program) const;
  View view() const;
  static void* operator new(size_t size, size_t more) { return ::operator new(size + more); }
  static void operator delete(void* block) { ::operator delete(block); }
  static void operator delete(void* block, size_t /*more*/) { ::operator delete(block); }

  uint64_t program = 0;
  RequestKind kind = RequestKind::kTcp;
  bool has_ip = false;
  uint16_t port = 0;
  uint32_t callee_size = 0;
  uint32_t caller_size = 0;
  uint32_t sni_size = 0;
  uint32_t group_count = 0;
  uint32_t box_count = 0;  // Even: the marks behind are aligned.
  uint32_t mark_count = 0;
  IpAddress peer_ip;

 private:
  const ViewGroup* groups() const { return reinterpret_cast<const ViewGroup*>(this + 1); }
  const uint32_t* boxes() const {
    return reinterpret_cast<const uint32_t*>(groups() + group_count);
  }
  const uint64_t* marks() const { return reinterpret_cast<const uint64_t*>(boxes() + box_count); }
  const char* names() const { return reinterpret_cast<const char*>(marks() + mark_count); }
};

struct ScratchState {
  uint64_t program = 0;
  LookupScratch lookup;
  // The view that BuildView makes.
  std::vector<ViewGroup> view_groups;
  std::vector<uint32_t> view_boxes;
  std::vector<uint64_t> view_marks;
  View view() const { return {view_groups, view_boxes.data(), view_marks.data()}; }
  Stamps boxes_seen;
  Stamps rules_seen;
  Stamps groups_seen;
  std::vector<uint32_t> matched;
  struct Slot {
    uint32_t count = 0;
    uint32_t first = 0;  // Its line in the request.
  };
  std::vector<Slot> slots;
  std::vector<uint16_t> slots_used;
};

// Compile fills a program; what it refuses it names.
StatusOr<std::unique_ptr<const Program>> CompileProgram(
    std::vector<std::shared_ptr<const PolicySet>> sets, const EngineLimits& limits);

// Fit makes room for a program's decisions.
void Fit(ScratchState& scratch, const Program& program);

// BuildView judges the connection's fields and leaves the view in `scratch`, which Fit made large
// enough.
void BuildView(const Program& program, const CanonicalRequest& request, ScratchState& scratch);

Decision DecideOnView(const Program& program, const View& view, const CanonicalRequest& request,
                      int64_t now, ScratchState& scratch);

std::string_view TrustDomainOf(std::string_view id);

}  // namespace countersign::authz::engine
