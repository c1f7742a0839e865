#include "authz/language/trust_domain_language.h"

#include <vector>

namespace countersign::authz::language {
namespace {

constexpr std::string_view kScheme = "spiffe://";

// States of `dfa` from which some text is accepted.
std::vector<uint8_t> Hopeful(const Dfa& dfa) {
  size_t width = dfa.classes.size();
  std::vector<uint8_t> hopeful = dfa.accepts;
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t state = dfa.states(); state-- > 0;) {
      for (size_t i = 0; i < width && hopeful[state] == 0; ++i) {
        if (hopeful[dfa.next[state * width + i]] != 0) {
          hopeful[state] = 1;
          changed = true;
        }
      }
    }
  }
  return hopeful;
}

}  // namespace

Language IdsIn(const Language& domains) {
  const Dfa& inner = domains.dfa();
  Dfa dfa;
  dfa.classes = inner.classes;
  dfa.classes.Split(ByteSet::Of('/'));
  for (char c : kScheme) {
    dfa.classes.Split(ByteSet::Of(static_cast<uint8_t>(c)));
  }
  // The scheme's bytes, then the domains' automaton, then one state of all that is below an
  // accepted domain, and a dead one.
  auto first = static_cast<uint32_t>(kScheme.size());
  auto below = static_cast<uint32_t>(first + inner.states());
  uint32_t dead = below + 1;
  size_t width = dfa.classes.size();
  std::vector<uint8_t> bytes = dfa.classes.First();
  dfa.next.assign((dead + 1) * width, dead);
  dfa.accepts.assign(dead + 1, 0);
  for (uint32_t i = 0; i < first; ++i) {
    dfa.next[i * width + dfa.classes[static_cast<uint8_t>(kScheme[i])]] = i + 1;
  }
  for (uint32_t state = 0; state < inner.states(); ++state) {
    dfa.accepts[first + state] = inner.accepts[state];
    for (uint8_t byte : bytes) {
      uint32_t to = byte != '/'                 ? first + inner.Step(state, byte)
                    : inner.accepts[state] != 0 ? below
                                                : dead;
      dfa.next[(first + state) * width + dfa.classes[byte]] = to;
    }
  }
  dfa.accepts[below] = 1;
  for (size_t i = 0; i < width; ++i) {
    dfa.next[below * width + i] = below;
  }
  return Language::FromDfa(dfa);
}

Language TrustDomainsOf(const Language& ids) {
  const Dfa& outer = ids.dfa();
  uint32_t start = 0;
  for (char c : kScheme) {
    start = outer.Step(start, static_cast<uint8_t>(c));
  }
  std::vector<uint8_t> hopeful = Hopeful(outer);
  Dfa dfa;
  dfa.classes = outer.classes;
  dfa.classes.Split(ByteSet::Of('/'));
  size_t width = dfa.classes.size();
  std::vector<uint8_t> bytes = dfa.classes.First();
  std::vector<uint32_t> number(outer.states(), UINT32_MAX);
  std::vector<uint32_t> order = {start};
  number[start] = 1;  // State 0 is what follows the scheme and has no byte yet: no domain is empty.
  auto number_of = [&](uint32_t state) {
    if (number[state] == UINT32_MAX) {
      order.push_back(state);
      number[state] = static_cast<uint32_t>(order.size());
    }
    return number[state];
  };
  auto add = [&](uint32_t state, bool accepts) {
    dfa.accepts.push_back(accepts ? 1 : 0);
    for (uint8_t byte : bytes) {
      dfa.next.push_back(byte == '/' ? UINT32_MAX : number_of(outer.Step(state, byte)));
    }
  };
  add(start, false);
  for (size_t at = 0; at < order.size(); ++at) {
    uint32_t state = order[at];
    add(state, outer.accepts[state] != 0 || hopeful[outer.Step(state, '/')] != 0);
  }
  auto dead = static_cast<uint32_t>(dfa.accepts.size());
  dfa.accepts.push_back(0);
  dfa.next.resize(dfa.next.size() + width, dead);
  for (uint32_t& to : dfa.next) {
    to = to == UINT32_MAX ? dead : to;
  }
  return Language::FromDfa(dfa);
}

}  // namespace countersign::authz::language
