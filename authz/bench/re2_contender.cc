#include "authz/bench/re2_contender.h"

#include <re2/re2.h>
#include <re2/set.h>

#include <algorithm>
#include <vector>

namespace countersign::bench {
namespace {

RE2::Options Options(int64_t memory) {
  RE2::Options options;
  options.set_encoding(RE2::Options::EncodingLatin1);
  options.set_dot_nl(true);
  options.set_never_capture(true);
  options.set_log_errors(false);
  options.set_max_mem(memory);
  return options;
}

re2::StringPiece Piece(std::string_view text) { return {text.data(), text.size()}; }

}  // namespace

struct Re2Contender::State {
  struct Compiled {
    const ShapeRule* shape = nullptr;
    std::unique_ptr<RE2> caller;
    std::unique_ptr<RE2> path;
  };

  bool Matches(const Compiled& rule, const authz::CanonicalRequest& request) const {
    return rule.shape->workload == request.callee && rule.shape->method == request.method &&
           RE2::FullMatch(Piece(request.caller), *rule.caller) &&
           (!rule.shape->header || HasTenant(request));
  }
  bool HasTenant(const authz::CanonicalRequest& request) const {
    return std::any_of(request.headers.begin(), request.headers.end(), [&](const auto& header) {
      return header.name == "x-tenant" && RE2::FullMatch(Piece(header.value), tenant);
    });
  }

  RE2 tenant{"[a-z0-9-]{1,32}", Options(8 << 20)};
  RE2::Set set{Options(512 << 20), RE2::ANCHOR_BOTH};
  std::vector<Compiled> rules;
  std::vector<int> candidates;
};

Re2Contender::Re2Contender(const Shape& shape) : state_(std::make_unique<State>()) {
  for (const ShapeRule& rule : shape.rules()) {
    std::string path = AsPattern(rule.path);
    State::Compiled& compiled = state_->rules.emplace_back();
    compiled.shape = &rule;
    compiled.caller = std::make_unique<RE2>(AsPattern(rule.caller), Options(1 << 20));
    compiled.path = std::make_unique<RE2>(path, Options(1 << 20));
    state_->set.Add(path, nullptr);
  }
  state_->set.Compile();
}

Re2Contender::~Re2Contender() = default;

authz::Effect Re2Contender::Linear(const authz::CanonicalRequest& request) {
  bool allowed = false;
  for (const State::Compiled& rule : state_->rules) {
    if (state_->Matches(rule, request) && RE2::FullMatch(Piece(request.path), *rule.path)) {
      if (rule.shape->deny) {
        return authz::Effect::kDeny;
      }
      allowed = true;
    }
  }
  return allowed ? authz::Effect::kAllow : authz::Effect::kDeny;
}

authz::Effect Re2Contender::Set(const authz::CanonicalRequest& request) {
  bool allowed = false;
  state_->set.Match(Piece(request.path), &state_->candidates);
  for (int candidate : state_->candidates) {
    const State::Compiled& rule = state_->rules[static_cast<size_t>(candidate)];
    if (state_->Matches(rule, request)) {
      if (rule.shape->deny) {
        return authz::Effect::kDeny;
      }
      allowed = true;
    }
  }
  return allowed ? authz::Effect::kAllow : authz::Effect::kDeny;
}

}  // namespace countersign::bench
