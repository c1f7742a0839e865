// Verifying a whole log from its files: every record against its hash, every tile, the root against
// the signed checkpoint, and that nothing signed before is missing. The search index plays no part.
//
// What it cannot see: records that were cut off together with an older checkpoint put in its place,
// unless a later checkpoint or the signing state is at hand. Keep checkpoints elsewhere.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "audit/log/signed_note.h"
#include "audit/record/decision_record.h"

namespace countersign::audit {

struct VerifyOptions {
  std::string folder;
  std::optional<std::string> vkey;   // Else the folder's own: then only consistency is shown.
  std::optional<std::string> known;  // A checkpoint of this log kept elsewhere.
};

// RingGaps is what the gap records of one ring say is missing, by the word of the proxy that wrote
// them: a proxy can claim any number, so whose it is tells what it is worth.
struct RingGaps {
  std::string ring;   // Its id, as records of the ring have it; empty: all rings over the limit.
  std::string owner;  // From its ring-opened record, the agent's word; empty: the log has none.
  uint64_t records = 0;
  uint64_t missing = 0;  // Sum; at most the largest 64-bit number.
};

struct VerifyLimits {
  // Rings whose gaps are told apart, and owners that are remembered: four times what a node holds
  // at once. About a megabyte.
  static constexpr size_t kRingsMax = 4096;
};

// VerifyReport: the log is good if there is no finding. Findings are in the order of the log.
struct VerifyReport {
  Checkpoint checkpoint;
  std::string vkey;
  std::vector<std::string> findings;
  std::optional<uint64_t> first_bad_record;
  std::string first_bad_decision;  // Its id as far as it can still be read.
  uint64_t decisions = 0;
  uint64_t completions = 0;
  uint64_t events = 0;
  uint64_t missing = 0;        // Sum of the gap records: known to be lost, which is not a finding.
  std::vector<RingGaps> gaps;  // Whose they are, the most missing first.
  bool good() const { return findings.empty(); }
};

// VerifyLog reads everything once, in constant memory. An error means that it could not be done.
StatusOr<VerifyReport> VerifyLog(const VerifyOptions& options);

}  // namespace countersign::audit
