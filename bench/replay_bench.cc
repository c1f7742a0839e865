// Times `policy replay` and `policy suggest` over a log of a million decisions, each with its
// completion, on the policy of policy_bench. CPU time of one thread; making the log is not in it.
//
//   replay_bench [-o json] [--decisions N]
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "audit/log/node_log.h"
#include "audit/replay/replay.h"
#include "audit/replay/suggest.h"
#include "authz/bench/policy_shape.h"
#include "base/crypto/hash.h"

namespace countersign::bench {
namespace {

using authz::PolicySet;
using authz::PolicySets;

constexpr uint64_t kCommitEvery = 4096;
constexpr double kMarkSeconds = 10;

double CpuSeconds() {
  timespec now = {};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

double PeakMegabytes() {
  rusage usage = {};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

PolicySets Stored(const PolicySets& sets, std::string_view version) {
  auto stored = std::make_shared<PolicySet>(*sets[0]);
  stored->digest = HexLower(Sha256(version));
  return {stored};
}

// Every tenth rule allows another method.
PolicySets Changed(const PolicySets& sets) {
  auto changed = std::make_shared<PolicySet>(*sets[0]);
  size_t number = 0;
  for (authz::AccessPolicy& policy : changed->policies) {
    for (authz::Rule& rule : policy.rules) {
      if (number++ % 10 == 0) {
        rule.to[0].all_of[0].any_of[0].text = "PATCH";
      }
    }
  }
  return {changed};
}

// LogMaker writes what a proxy with these policies would record.
class LogMaker {
 public:
  LogMaker(audit::NodeLog& log, std::shared_ptr<const authz::CompiledPolicy> policy)
      : log_(log), policy_(std::move(policy)), scratch_(*policy_) {
    version_.set = policy_->sets()[0]->name;
    std::string digest = *HexDecode(policy_->sets()[0]->digest);
    std::ranges::copy(digest, version_.digest.begin());
  }

  void Add(const ShapeRequest& source) {
    const authz::CanonicalRequest request = source.View();
    const authz::Decision decision = policy_->Decide(request, Clock::System().Now(), scratch_);
    audit::DecisionRecord record;
    for (size_t i = 0; i < 8; ++i) {
      record.id[i] = static_cast<uint8_t>(number_ >> (8 * i));
    }
    ++number_;
    record.time_ns = Clock::System().Now().time_since_epoch().count();
    record.node = "spiffe://shop.example/agent/node-1";
    record.service = "orders";
    record.listener = "http";
    record.kind = request.kind;
    record.subject = audit::SubjectKind::kVerifiedPeer;
    record.caller = request.caller;
    record.caller_serial = "5f3a90c1b2d4e6f7";
    record.callee = request.callee;
    record.peer_ip.emplace();
    record.port = 8443;
    record.sni = "orders";
    record.method = request.method;
    record.host = "orders";
    record.path = request.path;
    record.headers = request.headers;
    record.effect = decision.effect;
    record.reason = decision.reason;
    record.would_be = decision.would_be;
    std::string rule;
    if (decision.deciding_rule != authz::kNoRule) {
      rule = policy_->RuleName(decision.deciding_rule);
    }
    record.rule = rule;
    record.policies = {&version_, 1};
    audit::CompletionRecord done;
    done.id = record.id;
    done.status = 200;
    log_.Append({kRing, ++sequence_}, EncodeToString(record));
    log_.Append({kRing, ++sequence_}, EncodeToString(done));
  }

 private:
  static constexpr RingId kRing = {7};
  audit::NodeLog& log_;
  std::shared_ptr<const authz::CompiledPolicy> policy_;
  authz::DecisionScratch scratch_;
  audit::PolicyVersion version_;
  uint64_t number_ = 0;
  uint64_t sequence_ = 0;
};

Status MakeLog(const std::string& folder, const PolicySets& sets,
               const std::vector<ShapeRequest>& requests, uint64_t decisions) {
  ASSIGN_OR_RETURN(auto log, audit::NodeLog::Open({folder, "bench.example/agent/node-1",
                                                   "spiffe://bench.example/agent/node-1"},
                                                  Clock::System()));
  ASSIGN_OR_RETURN(auto policy, authz::CompiledPolicy::Compile(sets));
  LogMaker maker(*log, std::move(policy));
  for (uint64_t i = 0; i < decisions; ++i) {
    maker.Add(requests[i % requests.size()]);
    if (i % kCommitEvery == 0 || log->BatchIsFull()) {
      RETURN_IF_ERROR(log->Commit());
    }
  }
  return log->Commit();
}

struct Timed {
  std::string name;
  double seconds = 0;
  std::string found;
};

StatusOr<Timed> TimeReplay(const audit::LogWindow& window, const PolicySets& candidate,
                           const std::vector<PolicySets>& old, std::string name) {
  audit::ReplayQuestion question;
  question.window = window;
  question.candidate = candidate;
  question.old = old;
  question.prove.now = Clock::System().Now();
  double begin = CpuSeconds();
  ASSIGN_OR_RETURN(audit::ReplayReport report, audit::Replay(question));
  return Timed{
      std::move(name), CpuSeconds() - begin,
      Concat(report.window.decisions, " decisions: ", report.same, " the same, ",
             report.newly_allowed, " newly allowed, ", report.newly_denied, " newly denied, ",
             report.unjudged, " not judged, ", report.flips.size(), " groups")};
}

StatusOr<Timed> TimeSuggest(const audit::LogWindow& window) {
  audit::SuggestQuestion question;
  question.window = window;
  question.service = "orders";
  double begin = CpuSeconds();
  ASSIGN_OR_RETURN(audit::Suggestion suggestion, audit::Suggest(question));
  return Timed{"replay.suggest", CpuSeconds() - begin,
               Concat(suggestion.admitted, " requests admitted by policies of ",
                      suggestion.policies.size(), " workloads")};
}

StatusOr<std::vector<Timed>> Measure(const std::string& folder, uint64_t decisions) {
  Shape shape({.rules = 1000});
  const PolicySets sets = Stored(shape.Sets(), "as it is");
  const PolicySets changed = Stored(Changed(sets), "as it would be");
  RETURN_IF_ERROR(MakeLog(folder, sets, shape.Requests(50'000), decisions));
  audit::LogWindow window;
  window.folders = {folder};
  std::vector<Timed> all;
  ASSIGN_OR_RETURN(Timed same, TimeReplay(window, sets, {sets}, "replay.same"));
  all.push_back(std::move(same));
  ASSIGN_OR_RETURN(Timed flips, TimeReplay(window, changed, {sets}, "replay.flips"));
  all.push_back(std::move(flips));
  ASSIGN_OR_RETURN(Timed lacking, TimeReplay(window, changed, {}, "replay.unknown_version"));
  all.push_back(std::move(lacking));
  ASSIGN_OR_RETURN(Timed suggest, TimeSuggest(window));
  all.push_back(std::move(suggest));
  return all;
}

void Print(const std::vector<Timed>& all, bool as_json) {
  for (size_t i = 0; i < all.size(); ++i) {
    if (as_json) {
      std::printf(
          "%s{\"name\": \"%s\", \"value\": %.2f, \"unit\": \"CPU-s\", \"mark\": \"at most %.0f "
          "CPU-s a million decisions\", \"held\": %s, \"command\": \"replay_bench -o json\"}%s\n",
          i == 0 ? "[" : " ", all[i].name.c_str(), all[i].seconds, kMarkSeconds,
          all[i].seconds <= kMarkSeconds ? "true" : "false", i + 1 == all.size() ? "]" : ",");
    } else {
      std::printf("%-24s %6.2f CPU-s  %s\n", all[i].name.c_str(), all[i].seconds,
                  all[i].found.c_str());
    }
  }
  if (!as_json) {
    std::printf("peak memory %.0f MB, all of it together\n", PeakMegabytes());
  }
}

int Main(int argc, char** argv) {
  uint64_t decisions = 1'000'000;
  bool as_json = false;
  for (int i = 1; i < argc; ++i) {
    std::string_view word = argv[i];
    std::string_view next = i + 1 < argc ? argv[i + 1] : "";
    if (word == "-o" && next == "json") {
      as_json = true;
    } else if (word == "--decisions" && std::atoll(argv[i + 1]) > 0) {
      decisions = static_cast<uint64_t>(std::atoll(argv[i + 1]));
    } else {
      std::fprintf(stderr, "usage: replay_bench [-o json] [--decisions N]\n");
      return 2;
    }
    ++i;
  }
  std::string folder = (std::filesystem::temp_directory_path() / "replay-bench-XXXXXX").string();
  if (::mkdtemp(folder.data()) == nullptr) {
    std::perror("mkdtemp");
    return 2;
  }
  StatusOr<std::vector<Timed>> all = Measure(folder + "/audit", decisions);
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
  if (!all.ok()) {
    std::fprintf(stderr, "replay_bench: %s\n", std::string(Message(all.status())).c_str());
    return 2;
  }
  Print(*all, as_json);
  return 0;
}

}  // namespace
}  // namespace countersign::bench

int main(int argc, char** argv) { return countersign::bench::Main(argc, argv); }
