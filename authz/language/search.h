// Search answers "is there a text that is in all of these and in none of those?" with the text, or
// with a proof that there is none. The automata are walked together; their product is never built
// beyond what the walk visits.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "authz/language/language.h"
#include "authz/language/limits.h"
#include "base/status.h"

namespace countersign::authz::language {

enum class Side : uint8_t { kInside, kOutside };

// Constraint borrows its language for the call.
struct Constraint {
  const Language* language = nullptr;
  Side side = Side::kInside;
};

inline constexpr size_t kAnyBytes = SIZE_MAX;

// FindText gives the shortest text that satisfies every constraint and has at most `bytes_max`
// bytes; among those the first in the order of ReadableFirst(). Nothing: there is none, proved.
// Fails with kResourceExhausted beyond search_states_max, which proves nothing.
StatusOr<std::optional<std::string>> FindText(std::span<const Constraint> constraints,
                                              size_t bytes_max = kAnyBytes,
                                              const LanguageLimits& limits = {});

// Witness is a shortest text of the language.
std::optional<std::string> Witness(const Language& language);

// FindOutside gives a text of `inner` that `outer` does not hold; nothing: `outer` includes
// `inner`.
struct Inclusion {
  const Language& inner;
  const Language& outer;
};
StatusOr<std::optional<std::string>> FindOutside(const Inclusion& question,
                                                 const LanguageLimits& limits = {});

// ReadableFirst is all bytes in the order in which a witness prefers them: letters, digits, marks
// of names, other printable ones, the rest.
std::span<const uint8_t, 256> ReadableFirst();

}  // namespace countersign::authz::language
