// The matchers of the policy language as languages: the values that each matches, if there is one.
//
// Presence, addresses and ports are no texts and have no language. Values are taken as they come;
// which values a field can have is in canonical_language.h.
#pragma once

#include <span>

#include "authz/language/language.h"
#include "authz/model/field.h"

namespace countersign::authz::language {

// LanguageOf means what the engine's evaluators mean, matcher by matcher. kPresent holds every
// value and kAbsent none. Fails with kInvalidArgument for kIp, kPort and bad patterns, and with
// kResourceExhausted over a limit.
StatusOr<Language> LanguageOf(const Matcher& matcher, const LanguageLimits& limits = {});

// LanguageOfAny holds what at least one of the matchers matches.
StatusOr<Language> LanguageOfAny(std::span<const Matcher> matchers,
                                 const LanguageLimits& limits = {});

}  // namespace countersign::authz::language
