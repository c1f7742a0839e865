#include "sds/agent/svid_keeper.h"

#include <algorithm>

#include "base/crypto/hash.h"

namespace countersign::agent {
namespace {

constexpr std::chrono::seconds kAnswerWithin{30};  // Then the ask counts as lost.
constexpr double kJitterPart = 0.1;
constexpr std::string_view kAgentFingerprint = "agent";

// A clock that is wrong here or there looks like a bad signature; say which it is.
Status DoesNotVerify(identity::VerifyError error, const identity::X509Svid& svid, WallTime now) {
  if (error == identity::VerifyError::kNotYetValid || error == identity::VerifyError::kExpired) {
    return FailedPrecondition("what the server signed is valid from ",
                              FormatTime(svid.not_before()), " to ", FormatTime(svid.not_after()),
                              ", but the clock of this node says ", FormatTime(now),
                              "; set the clock of whichever is wrong");
  }
  return InvalidArgument("the server's signature does not verify here: ",
                         identity::VerifyErrorName(error));
}

}  // namespace

std::string SvidFingerprint(const authz::Registration& registration) {
  std::string shape = Concat(registration.id, "\n", registration.svid_ttl.count(), "\n",
                             registration.key_type, "\n");
  for (const std::string& name : registration.dns_names) {
    shape += Concat(name, "\n");
  }
  return HexLower(Sha256(shape));
}

void SvidKeeper::SetAgent(const identity::SpiffeId& id) {
  Need("", id.str(), std::string(kAgentFingerprint));
}

std::vector<std::string> SvidKeeper::SetRegistrations(
    std::span<const std::shared_ptr<const authz::Registration>> registrations) {
  std::map<std::string, const authz::Registration*> needed;
  for (const auto& registration : registrations) {
    needed[registration->name] = registration.get();
  }
  std::vector<std::string> gone;
  for (const auto& [name, entry] : entries_) {
    if (!name.empty() && !needed.contains(name)) {
      gone.push_back(name);
    }
  }
  for (const std::string& name : gone) {
    entries_.erase(name);
  }
  for (const auto& [name, registration] : needed) {
    Need(name, registration->id, SvidFingerprint(*registration));
  }
  return gone;
}

void SvidKeeper::Need(const std::string& name, const std::string& id, const std::string& wanted) {
  Entry& entry = entries_[name];
  if (entry.wanted == wanted) {
    return;
  }
  entry.wanted = wanted;
  entry.retry_at = MonotonicTime();
  entry.backoff = std::chrono::nanoseconds(0);
  if (entry.id != id) {
    entry.id = id;
    entry.current.reset();  // Another identity: the old one is not served a moment longer.
  }
}

bool SvidKeeper::Adopt(Entry& entry, const StoredSvid& stored) const {
  if (stored.svid->id().str() != entry.id) {
    return false;
  }
  WallTime now = clock_.Now();
  MonotonicTime steady = clock_.Monotonic();
  std::chrono::nanoseconds life = stored.svid->not_after() - stored.received;
  double part = 0.5 * (1 + kJitterPart * std::clamp(jitter_(), -1.0, 1.0));
  entry.renew_at =
      stored.received +
      std::chrono::duration_cast<std::chrono::nanoseconds>(
          std::chrono::duration<double, std::nano>(static_cast<double>(life.count()) * part));
  // Stored by an earlier process, under a wall clock that was set back since: its age is unknown.
  bool of_unknown_age = stored.received > now;
  entry.renew_by = of_unknown_age ? steady : steady + (entry.renew_at - now);
  entry.ends = steady + std::min(stored.svid->not_after() - now, life);
  entry.current = stored;
  return true;
}

bool SvidKeeper::Restore(const std::string& registration, const StoredSvid& stored) {
  auto found = entries_.find(registration);
  return found != entries_.end() && Adopt(found->second, stored);
}

void SvidKeeper::ForgetAsks() {
  for (auto& [name, entry] : entries_) {
    entry.ask.reset();
    entry.retry_at = MonotonicTime();
    entry.backoff = std::chrono::nanoseconds(0);
  }
}

// How long until the entry must be asked for; nothing or less if now.
std::chrono::nanoseconds SvidKeeper::UntilDue(const Entry& entry) const {
  MonotonicTime steady = clock_.Monotonic();
  if (entry.ask) {
    return entry.ask->when + kAnswerWithin - steady;
  }
  std::chrono::nanoseconds wait{0};
  if (entry.current && entry.current->asked_for == entry.wanted) {
    wait = std::min(entry.renew_at - clock_.Now(), entry.renew_by - steady);
  }
  return std::max(wait, entry.retry_at - steady);
}

StatusOr<std::vector<SigningAsk>> SvidKeeper::Due(size_t asks_max) {
  std::vector<SigningAsk> asks;
  for (auto& [name, entry] : entries_) {
    if (asks.size() >= asks_max) {
      break;
    }
    if (UntilDue(entry) > std::chrono::nanoseconds(0)) {
      continue;
    }
    ASSIGN_OR_RETURN(identity::PrivateKey key, identity::PrivateKey::GenerateP256());
    ASSIGN_OR_RETURN(std::string csr, identity::MakeCsr(key));
    entry.ask.emplace(Ask{++last_ask_, std::move(key), entry.wanted, clock_.Monotonic()});
    asks.push_back({last_ask_, name, std::move(csr)});
  }
  return asks;
}

void SvidKeeper::Fail(Entry& entry) const {
  entry.ask.reset();
  entry.backoff = std::clamp(entry.backoff * 2, limits_.backoff_least, limits_.backoff_most);
  entry.retry_at = clock_.Monotonic() + entry.backoff;
}

StatusOr<std::optional<SvidKeeper::Accepted>> SvidKeeper::Accept(
    const SigningAnswer& answer, const identity::PeerVerifier& verifier) {
  auto found = std::find_if(entries_.begin(), entries_.end(), [&answer](const auto& named) {
    return named.second.ask && named.second.ask->id == answer.id;
  });
  if (found == entries_.end()) {
    return std::optional<Accepted>();
  }
  Entry& entry = found->second;
  Ask ask = *entry.ask;
  Fail(entry);  // Unless all below goes well.
  RETURN_IF_ERROR(answer.status);
  ASSIGN_OR_RETURN(std::string key_der, ask.key.ToPkcs8Der());
  ASSIGN_OR_RETURN(identity::X509Svid svid,
                   identity::X509Svid::Create(answer.chain_der, std::move(key_der)));
  if (svid.id().str() != entry.id) {
    return InvalidArgument("the server signed ", Quoted(svid.id().str()), " where ",
                           Quoted(entry.id), " was asked for");
  }
  // Nobody else would accept what the bundles do not verify, so it does not replace what works.
  std::vector<std::string_view> chain(answer.chain_der.begin(), answer.chain_der.end());
  WallTime now = clock_.Now();
  identity::VerifyResult result = verifier.Verify(chain, identity::PeerRole::kServer, now);
  if (!result.ok()) {
    return DoesNotVerify(result.error(), svid, now);
  }
  StoredSvid stored{std::make_shared<const identity::X509Svid>(std::move(svid)), now,
                    ask.asked_for};
  Adopt(entry, stored);
  entry.retry_at = MonotonicTime();
  entry.backoff = std::chrono::nanoseconds(0);
  return std::optional<Accepted>(Accepted{found->first, std::move(stored)});
}

std::chrono::nanoseconds SvidKeeper::Left(const Entry& entry) const {
  return entry.current ? std::min(entry.current->svid->not_after() - clock_.Now(),
                                  entry.ends - clock_.Monotonic())
                       : std::chrono::nanoseconds(0);
}

std::map<std::string, std::shared_ptr<const identity::X509Svid>> SvidKeeper::Valid() const {
  std::map<std::string, std::shared_ptr<const identity::X509Svid>> valid;
  for (const auto& [name, entry] : entries_) {
    if (!name.empty() && Left(entry) > std::chrono::nanoseconds(0)) {
      valid[name] = entry.current->svid;
    }
  }
  return valid;
}

size_t SvidKeeper::ValidCount() const {
  return static_cast<size_t>(
      std::count_if(entries_.begin(), entries_.end(), [this](const auto& named) {
        return !named.first.empty() && Left(named.second) > std::chrono::nanoseconds(0);
      }));
}

const StoredSvid* SvidKeeper::agent_svid() const {
  auto found = entries_.find("");
  return found != entries_.end() && found->second.current ? &*found->second.current : nullptr;
}

std::optional<std::chrono::nanoseconds> SvidKeeper::UntilDue() const {
  std::optional<std::chrono::nanoseconds> least;
  for (const auto& [name, entry] : entries_) {
    least = least ? std::min(*least, UntilDue(entry)) : UntilDue(entry);
  }
  return least;
}

std::optional<std::chrono::nanoseconds> SvidKeeper::UntilExpiry() const {
  std::optional<std::chrono::nanoseconds> least;
  for (const auto& [name, entry] : entries_) {
    std::chrono::nanoseconds left = Left(entry);
    if (!name.empty() && left > std::chrono::nanoseconds(0)) {
      least = least ? std::min(*least, left) : left;
    }
  }
  return least;
}

}  // namespace countersign::agent
