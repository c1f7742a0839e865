// A pattern, a zero byte, a text: the language library is of RE2's mind on both, and a witness of
// what it holds is held by RE2 too. Limits keep one input cheap.
#include <cstdint>
#include <string_view>

#include "authz/language/search.h"
#include "tests/support/language_differential.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace countersign;
  using namespace countersign::authz::language;
  std::string_view input(reinterpret_cast<const char*>(data), size);
  size_t end = input.find('\0');
  std::string_view pattern = input.substr(0, end);
  std::string_view text =
      end == std::string_view::npos ? std::string_view() : input.substr(end + 1);
  LanguageLimits limits;
  limits.pattern_bytes_max = 128;
  limits.dfa_states_max = 2000;
  limits.determinize_steps_max = 1'000'000;
  StatusOr<Language> language = Language::FromPattern(pattern, limits);
  if (IsTooLarge(language.status())) {
    return 0;
  }
  CHECK(!CompareText(pattern, text));
  if (language.ok()) {
    CHECK(language->Complement().Matches(text) != language->Matches(text));
    std::optional<std::string> witness = Witness(*language);
    CHECK(witness.has_value() != language->IsNothing());
    CHECK(!witness || (language->Matches(*witness) && !CompareText(pattern, *witness)));
  }
  return 0;
}
