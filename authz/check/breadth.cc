#include "authz/check/breadth.h"

#include <algorithm>

#include "base/status.h"

namespace countersign::authz {
namespace {

constexpr std::string_view kScheme = "spiffe://";

bool NamesCaller(const Condition& condition) {
  return condition.field == Field::kId || condition.field == Field::kTrustDomain;
}

bool IsPresent(const Matcher& matcher) { return matcher.kind == Matcher::Kind::kPresent; }

// Whether a condition of `to` leaves something out.
bool Narrows(const Condition& condition) {
  bool everything = std::ranges::any_of(condition.any_of, [&](const Matcher& matcher) {
    bool border = matcher.kind == Matcher::Kind::kUnder || matcher.kind == Matcher::Kind::kPrefix;
    return IsPresent(matcher) || (condition.field == Field::kPath && border && matcher.text == "/");
  });
  return !everything && condition.field != Field::kProtocol;
}

bool Has(const Entry& entry, Field field) {
  return std::ranges::any_of(
      entry.all_of, [field](const Condition& condition) { return condition.field == field; });
}

bool IsOnly(const Entry& entry, Field field) {
  return entry.except.empty() && entry.all_of.size() == 1 && entry.all_of[0].field == field;
}

bool SpeaksOfHttp(const Entry& entry) {
  return std::ranges::any_of(entry.all_of, IsHttpOnly, &Condition::field);
}

// Looker is for one rule.
class Looker {
 public:
  explicit Looker(const Rule& rule) : rule_(rule) {}

  std::vector<BreadthFinding> Run() {
    if (rule_.effect == Effect::kAllow) {
      CheckAnyone();
      for (const Entry& entry : rule_.from) {
        CheckCallers(entry);
      }
      for (size_t i = 0; i + 1 < rule_.to.size(); ++i) {
        CheckNeighbours(rule_.to[i], rule_.to[i + 1]);
      }
    }
    for (const Entry& entry : rule_.to) {
      CheckSegments(entry.all_of);
      for (const std::vector<Condition>& exception : entry.except) {
        CheckSegments(exception);
      }
    }
    return std::move(findings_);
  }

 private:
  template <class... Parts>
  void Find(const SourcePosition& where, const Parts&... parts) {
    findings_.push_back({where, Concat(parts...)});
  }

  void CheckAnyone() {
    if (rule_.subject != Subject::kAnyone) {
      return;
    }
    bool narrowed = !rule_.to.empty() && std::ranges::all_of(rule_.to, [](const Entry& entry) {
      return !entry.except.empty() || std::ranges::any_of(entry.all_of, Narrows);
    });
    // A claim of a verified token names somebody, too.
    narrowed = narrowed || std::ranges::any_of(rule_.when, [](const Condition& condition) {
                 return condition.field == Field::kClaim;
               });
    if (!narrowed) {
      Find(rule_.where, "allows everything to callers without identity: name callers in `from` ",
           "(authenticated: any identity), or say in `to` what everybody may do");
    }
  }

  void CheckCallers(const Entry& entry) {
    if (std::ranges::none_of(entry.all_of, NamesCaller)) {
      bool beside = std::ranges::any_of(rule_.from, [](const Entry& other) {
        return std::ranges::any_of(other.all_of, NamesCaller);
      });
      Find(entry.where,
           "has an entry of `from` that names no caller: it admits whoever is at that ",
           FieldName(entry.all_of.front().field), ", also without identity; ",
           beside ? "to narrow another entry write it there, without a dash, " : "add an id, ",
           "or say `id: { present: true }` (any identity) or `{ present: false }` (none)");
    } else if (entry.all_of.size() == 1 && entry.except.empty() &&
               std::ranges::any_of(entry.all_of[0].any_of, IsPresent)) {
      Find(entry.where, "admits every identity of every trust domain by ",
           FieldName(entry.all_of[0].field), " { present: true }: say `from: authenticated` if ",
           "that is meant, `from: mesh` for the workload's own trust domain");
    }
    for (const Condition& condition : entry.all_of) {
      for (const Matcher& matcher : condition.any_of) {
        CheckDomain(condition, matcher);
      }
    }
  }

  // Whoever can choose a trust domain's name can choose one that begins or ends alike.
  void CheckDomain(const Condition& condition, const Matcher& matcher) {
    bool prefix = matcher.kind == Matcher::Kind::kPrefix;
    if (condition.field == Field::kId && prefix && matcher.text.starts_with(kScheme) &&
        matcher.text.find('/', kScheme.size()) == std::string::npos) {
      Find(condition.where, "also admits ", Quoted(matcher.text + ".evil/x"), " by id prefix ",
           Quoted(matcher.text), ": end the trust domain with '/', or say { under: ... }");
    } else if (condition.field == Field::kTrustDomain && prefix) {
      Find(condition.where, "also admits trust domain ", Quoted(matcher.text + ".evil"),
           " by prefix ", Quoted(matcher.text), ": list the trust domains");
    } else if (condition.field == Field::kTrustDomain && matcher.kind == Matcher::Kind::kSuffix &&
               !matcher.text.starts_with('.')) {
      Find(condition.where, "also admits trust domain ", Quoted("evil-" + matcher.text),
           " by suffix ", Quoted(matcher.text), ": begin it with a dot, or list the trust domains");
    }
  }

  // `- methods: [GET]` above `- path: /a` where one entry was meant.
  void CheckNeighbours(const Entry& one, const Entry& next) {
    for (Field field : {Field::kMethod, Field::kHost}) {
      for (auto [lone, other] : {std::pair(&one, &next), std::pair(&next, &one)}) {
        if (IsOnly(*lone, field) && SpeaksOfHttp(*other) && !Has(*other, field)) {
          Find(lone->where,
               "has two entries of `to` where one may be meant: this one admits every ", "path by ",
               FieldName(field), " alone, and its neighbour every ", FieldName(field),
               "; write them as one entry, without the second dash, or say `path: /**` here");
          return;
        }
      }
    }
  }

  void CheckSegments(const std::vector<Condition>& conditions) {
    for (const Condition& condition : conditions) {
      for (const Matcher& matcher : condition.any_of) {
        bool segments = matcher.kind == Matcher::Kind::kExact ||
                        matcher.kind == Matcher::Kind::kUnder ||
                        matcher.kind == Matcher::Kind::kTemplate;
        size_t at = matcher.text.find("/:");
        if (condition.field != Field::kPath || !segments || at == std::string::npos) {
          continue;
        }
        std::string_view segment = std::string_view(matcher.text).substr(at + 1);
        segment = segment.substr(0, segment.find('/'));
        Find(condition.where, "matches only the text ", Quoted(segment), " itself in path ",
             Quoted(matcher.text), ": for any one segment use {", segment.substr(1), "}");
      }
    }
  }

  const Rule& rule_;
  std::vector<BreadthFinding> findings_;
};

}  // namespace

std::vector<BreadthFinding> BreadthOf(const Rule& rule) { return Looker(rule).Run(); }

}  // namespace countersign::authz
