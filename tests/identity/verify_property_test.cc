// Chains made by chance: whatever PeerVerifier accepts, plain RFC 5280 validation accepts, and the
// accepted leaf keeps the profile. Seeded, so a failure comes again.
#include <gtest/gtest.h>
#include <openssl/err.h>

#include <random>

#include "identity/peer_verifier.h"
#include "identity/x509_svid.h"
#include "tests/support/openssl_verify.h"
#include "tests/support/test_ca.h"

namespace countersign::identity {
namespace {

using namespace std::chrono_literals;

const WallTime kNow = *ParseTime("2027-03-01T12:00:00Z");

class Chance {
 public:
  explicit Chance(uint32_t seed) : engine_(seed) {}
  size_t Below(size_t bound) { return engine_() % bound; }
  bool OneIn(size_t n) { return Below(n) == 0; }
  template <size_t N>
  const char* Pick(const char* const (&choices)[N]) {
    return choices[Below(N)];
  }

 private:
  std::mt19937 engine_;
};

void Disturb(TestCertificateSpec& spec, Chance& chance) {
  static const char* const kUsages[] = {"critical,digitalSignature",
                                        "critical,keyCertSign,cRLSign",
                                        "critical,digitalSignature,keyCertSign",
                                        "digitalSignature",
                                        "critical,keyAgreement",
                                        ""};
  static const char* const kConstraints[] = {"critical,CA:FALSE", "critical,CA:TRUE",
                                             "critical,CA:TRUE,pathlen:0", "CA:FALSE", ""};
  static const char* const kExtended[] = {"serverAuth,clientAuth", "serverAuth", "clientAuth",
                                          "codeSigning", ""};
  static const char* const kNames[] = {
      "", "critical,permitted;URI:shop.example", "critical,permitted;URI:other.example",
      "critical,excluded;URI:shop.example", "critical,permitted;DNS:shop.example"};
  static const char* const kUris[] = {"spiffe://shop.example/web", "spiffe://shop.example",
                                      "spiffe://other.example/web", "https://shop.example/web",
                                      "spiffe://shop.example/web/"};
  switch (chance.Below(9)) {
    case 0:
      spec.extensions["keyUsage"] = chance.Pick(kUsages);
      break;
    case 1:
      spec.extensions["basicConstraints"] = chance.Pick(kConstraints);
      break;
    case 2:
      spec.extensions["extendedKeyUsage"] = chance.Pick(kExtended);
      break;
    case 3:
      spec.extensions["nameConstraints"] = chance.Pick(kNames);
      break;
    case 4:
      spec.uri_sans.assign(chance.Below(3), chance.Pick(kUris));
      break;
    case 5:
      spec.not_after = kNow + (static_cast<int>(chance.Below(3)) - 1) * 1h;
      break;
    case 6:
      spec.not_before = kNow + (static_cast<int>(chance.Below(3)) - 1) * 30min;
      break;
    case 7:
      spec.extensions["authorityKeyIdentifier"] = "";
      break;
    default:
      spec.dns_sans = {"web.shop.example"};
  }
}

std::vector<std::string> RandomChain(const TestCa& root, Chance& chance) {
  std::vector<TestCa> above = {root};
  for (size_t depth = chance.Below(4); depth > 0; --depth) {
    TestCertificateSpec spec = above.back().CaSpec(Concat("level ", depth));
    if (chance.OneIn(4)) {
      Disturb(spec, chance);
    }
    above.emplace_back(above.back(), spec);
  }
  TestCertificateSpec leaf = above.back().LeafSpec("/web");
  if (chance.OneIn(2)) {
    Disturb(leaf, chance);
  }
  std::vector<std::string> chain = above.back().Sign(leaf).der;
  if (chance.OneIn(4)) {
    std::swap(chain[chance.Below(chain.size())], chain[chance.Below(chain.size())]);
  }
  if (chance.OneIn(4)) {
    std::string& victim = chain[chance.Below(chain.size())];
    char& byte = victim[chance.Below(victim.size())];
    byte = static_cast<char>(static_cast<unsigned char>(byte) ^ (1 << chance.Below(8)));
  }
  return chain;
}

TEST(VerifyPropertyTest, NothingThatOpenSslRefusesIsAccepted) {
  constexpr int kRounds = 600;
  TestCa root("shop.example", kNow);
  PeerVerifier verifier(root.Bundles());
  Chance chance(20270301);
  int accepted = 0;
  int stricter = 0;
  for (int round = 0; round < kRounds; ++round) {
    std::vector<std::string> chain = RandomChain(root, chance);
    std::vector<std::string_view> views(chain.begin(), chain.end());
    PeerRole role = chance.OneIn(2) ? PeerRole::kClient : PeerRole::kServer;
    VerifyResult result = verifier.Verify(views, role, kNow);
    bool plain = OpenSslAccepts({root.root_der(), views, role, kNow});
    ASSERT_TRUE(!result.ok() || plain) << "round " << round;
    ASSERT_EQ(ERR_peek_error(), 0u) << "round " << round;
    accepted += result.ok() ? 1 : 0;
    stricter += plain && !result.ok() ? 1 : 0;
    if (result.ok()) {
      EXPECT_EQ(result.peer().id().str(), "spiffe://shop.example/web");
      EXPECT_GT(result.peer().not_after(), kNow);
    }
  }
  // Both sides of every comparison must have been seen.
  EXPECT_GT(accepted, kRounds / 10);
  EXPECT_GT(stricter, kRounds / 50);
  EXPECT_LT(accepted + stricter, kRounds);
}

// One changed byte anywhere in a leaf makes it another's, or nothing.
TEST(VerifyPropertyTest, EveryByteOfALeafCounts) {
  TestCa root("shop.example", kNow);
  PeerVerifier verifier(root.Bundles());
  std::string good = root.Sign(root.LeafSpec("/web")).der[0];
  for (size_t at = 0; at < good.size(); ++at) {
    for (int flip : {1, 32, 128}) {
      std::string bad = good;
      bad[at] = static_cast<char>(static_cast<unsigned char>(bad[at]) ^ flip);
      std::string_view view = bad;
      EXPECT_FALSE(verifier.Verify({&view, 1}, PeerRole::kClient, kNow).ok()) << at;
    }
  }
}

}  // namespace
}  // namespace countersign::identity
