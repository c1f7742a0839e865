#include "audit/log/signed_note.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/crypto/base64.h"

namespace countersign::audit {
namespace {

constexpr const char* kPublishedKey =
    "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";

class SignedNoteTest : public testing::Test {
 protected:
  SignedNoteTest()
      : key_(*Ed25519PrivateKey::Generate()),
        verifier_(*NoteVerifierKey::Make({"shop.example/log", key_.public_key()})),
        note_(*SignNote(kText, verifier_, key_)) {}

  static constexpr std::string_view kText =
      "shop.example/log\n7\nkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk=\n";
  Ed25519PrivateKey key_;
  NoteVerifierKey verifier_;
  std::string note_;
};

TEST(NoteVerifierKeyTest, ReadsThePublishedKeyAndPrintsItAgain) {
  StatusOr<NoteVerifierKey> key = NoteVerifierKey::Parse(kPublishedKey);
  ASSERT_TRUE(key.ok()) << key.status();
  EXPECT_EQ(key->name(), "example.com/foo");
  EXPECT_EQ(key->key_id(), 0x530d903aU);
  EXPECT_EQ(key->ToString(), kPublishedKey);
}

TEST(NoteVerifierKeyTest, RefusesWhatIsNoKey) {
  for (const char* bad : {"", "example.com/foo", "example.com/foo+530d903a",
                          "example.com/foo+530d903b+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
                          "example.com/fop+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
                          "example.com/foo+530d903a+AukyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
                          "example.com/foo+530d903a+Aeky",
                          "a b+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
                          "+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"}) {
    EXPECT_FALSE(NoteVerifierKey::Parse(bad).ok()) << bad;
  }
}

TEST_F(SignedNoteTest, OpensWhatWasSigned) {
  StatusOr<std::string> text = OpenNote(note_, verifier_);
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_EQ(*text, kText);
}

TEST_F(SignedNoteTest, RefusesEveryFlippedByte) {
  for (size_t i = 0; i < note_.size(); ++i) {
    std::string flipped = note_;
    flipped[i] = static_cast<char>(flipped[i] ^ 1);
    EXPECT_FALSE(OpenNote(flipped, verifier_).ok()) << i;
  }
}

TEST_F(SignedNoteTest, IgnoresSignaturesOfUnknownKeys) {
  std::string other =
      Concat("\xe2\x80\x94 witness.example ", Base64Encode(std::string(68, 'w')), "\n");
  std::string note = note_;
  for (int i = 0; i < 16; ++i) {
    note += other;
  }
  EXPECT_TRUE(OpenNote(note, verifier_).ok());
}

TEST_F(SignedNoteTest, LimitsAreExactAndNamed) {
  std::string other =
      Concat("\xe2\x80\x94 witness.example ", Base64Encode(std::string(68, 'w')), "\n");
  std::string note = note_;
  for (size_t i = 1; i < NoteLimits::kSignaturesMax; ++i) {
    note += other;
  }
  EXPECT_TRUE(OpenNote(note, verifier_).ok());
  Status many = OpenNote(note + other, verifier_).status();
  EXPECT_EQ(many.code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(Message(many)), testing::HasSubstr("64 signatures"));

  size_t frame = note_.size() - kText.size();
  std::string text(NoteLimits::kNoteBytesMax - frame - 1, 't');
  EXPECT_TRUE(OpenNote(*SignNote(text + "\n", verifier_, key_), verifier_).ok());
  Status large = OpenNote(*SignNote(text + "t\n", verifier_, key_), verifier_).status();
  EXPECT_EQ(large.code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(Message(large)), testing::HasSubstr("65536"));

  EXPECT_TRUE(CheckKeyName(std::string(NoteLimits::kNameBytesMax, 'n')).ok());
  EXPECT_THAT(std::string(Message(CheckKeyName(std::string(NoteLimits::kNameBytesMax + 1, 'n')))),
              testing::HasSubstr("1 to 255"));
}

TEST_F(SignedNoteTest, RefusesANoteWithoutOurSignature) {
  NoteVerifierKey another =
      *NoteVerifierKey::Make({"shop.example/log", Ed25519PrivateKey::Generate()->public_key()});
  EXPECT_EQ(OpenNote(note_, another).status().code(), StatusCode::kDataLoss);
  std::string unsigned_note = Concat(kText, "\n");
  EXPECT_FALSE(OpenNote(unsigned_note, verifier_).ok());
  EXPECT_FALSE(OpenNote(kText, verifier_).ok());
}

TEST(CheckpointTest, PrintsAndParses) {
  Checkpoint checkpoint = {"shop.example/log", 70000, LeafHash("x")};
  StatusOr<Checkpoint> parsed = ParseCheckpoint(PrintCheckpoint(checkpoint));
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->origin, checkpoint.origin);
  EXPECT_EQ(parsed->size, checkpoint.size);
  EXPECT_EQ(parsed->root, checkpoint.root);
  EXPECT_TRUE(ParseCheckpoint(PrintCheckpoint(checkpoint) + "an extension\n").ok());
}

TEST(CheckpointTest, RefusesWhatIsNotOne) {
  std::string hash = Base64Encode(std::string(32, 'h'));
  for (const std::string& bad :
       {std::string(""), std::string("log\n"), Concat("log\n07\n", hash, "\n"),
        Concat("log\n-1\n", hash, "\n"), Concat("log\n99999999999999999999\n", hash, "\n"),
        Concat("log\n7 \n", hash, "\n"), Concat("lo g\n7\n", hash, "\n"),
        Concat("lo+g\n7\n", hash, "\n"), Concat("\n7\n", hash, "\n"), Concat("log\n7\n", hash),
        Concat("log\n7\n", Base64Encode("short"), "\n")}) {
    EXPECT_FALSE(ParseCheckpoint(bad).ok()) << bad;
  }
}

TEST(TlogProofTest, PrintsAndParses) {
  TlogProof proof;
  proof.index = 3;
  proof.hashes = {LeafHash("a"), LeafHash("b")};
  proof.checkpoint = "log\n7\n...\n";
  std::string text = PrintTlogProof(proof);
  EXPECT_TRUE(text.starts_with("c2sp.org/tlog-proof@v1\nindex 3\n")) << text;
  proof.extra = "entry";
  StatusOr<TlogProof> parsed = ParseTlogProof(PrintTlogProof(proof));
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->index, 3U);
  EXPECT_EQ(parsed->extra, "entry");
  EXPECT_EQ(parsed->hashes, proof.hashes);
  EXPECT_EQ(parsed->checkpoint, proof.checkpoint);
}

TEST(TlogProofTest, RefusesWhatIsNotOne) {
  for (const char* bad :
       {"", "c2sp.org/tlog-proof@v2\nindex 3\n\nlog\n", "c2sp.org/tlog-proof@v1\n",
        "c2sp.org/tlog-proof@v1\nindex 03\n\nlog\n",
        "c2sp.org/tlog-proof@v1\nindex 3\nAAAA\n\nlog\n", "c2sp.org/tlog-proof@v1\nindex 3\n\n",
        "c2sp.org/tlog-proof@v1\nindex 3\n"}) {
    EXPECT_FALSE(ParseTlogProof(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace countersign::audit
