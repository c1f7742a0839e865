#include "audit/query/verify.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "audit/query/log_reader.h"
#include "base/crypto/hash.h"
#include "tests/audit/log_fixture.h"

namespace countersign::audit {
namespace {

using testing::AnyOf;
using testing::HasSubstr;

class VerifyTest : public LogFixture {
 protected:
  // A log of 600 records: three bundles, an upper tile, written in uneven commits, then closed.
  void SetUp() override {
    auto log = Open();
    vkey_ = log->verifier().ToString();
    Add(*log, 100);
    early_checkpoint_ = Read(kCheckpointFile);
    Add(*log, 400);
    Add(*log, 100);
  }
  VerifyReport Verify(std::optional<std::string> known = std::nullopt) {
    StatusOr<VerifyReport> report =
        VerifyLog({.folder = folder_, .vkey = vkey_, .known = std::move(known)});
    CHECK(report.ok());
    return *std::move(report);
  }
  void Flip(const std::string& name, size_t at) {
    std::string content = Read(name);
    content[at] = static_cast<char>(content[at] ^ 1);
    Write(name, content);
  }
  // Where entry `i` of a bundle begins, its length bytes included.
  size_t OffsetOf(const std::string& name, size_t i) {
    size_t at = 0;
    std::string bundle = Read(name);
    SplitBundle(bundle, i, &at);
    return at;
  }
  std::string vkey_;
  std::string early_checkpoint_;
};

TEST_F(VerifyTest, AGoodLogIsGood) {
  VerifyReport report = Verify();
  EXPECT_TRUE(report.good()) << report.findings.front();
  EXPECT_EQ(report.checkpoint.size, 600U);
  EXPECT_EQ(report.decisions, 600U);
  EXPECT_TRUE(Verify(early_checkpoint_).good());
}

TEST_F(VerifyTest, TheFoldersOwnKeyIsUsedWhenNoneIsGiven) {
  StatusOr<VerifyReport> report = VerifyLog({.folder = folder_, .vkey = {}, .known = {}});
  ASSERT_TRUE(report.ok());
  EXPECT_TRUE(report->good());
  EXPECT_EQ(report->vkey, vkey_);
}

TEST_F(VerifyTest, WhatIsMissingIsToldByTheRingThatSaysSo) {
  auto log = Open();
  RingId first = {1};
  RingId second = {2};
  std::string opened = Concat("ring w0 of pid 7 uid 70012", kRingIdIn, HexLower(first));
  log->AppendOwn(EncodeToString(EventRecord{EventKind::kRingOpened, 1, "", "", opened, {}}));
  // A proxy cannot say whose ring another one is.
  std::string forged = Concat("ring w0 of pid 7 uid 70012", kRingIdIn, HexLower(second));
  log->Append({second, 1},
              EncodeToString(EventRecord{EventKind::kRingOpened, 1, "", "", forged, {}}));
  log->Append({first, 1}, EncodeToString(GapRecord{5, 1, 2}));
  log->Append({first, 2}, EncodeToString(GapRecord{6, 1, 2}));
  uint64_t most = std::numeric_limits<uint64_t>::max();
  log->Append({second, 2}, EncodeToString(GapRecord{most, 1, 2}));
  log->Append({second, 3}, EncodeToString(GapRecord{most, 1, 2}));
  ASSERT_TRUE(log->Commit().ok());
  VerifyReport report = Verify();
  EXPECT_TRUE(report.good());
  EXPECT_EQ(report.missing, most) << "a sum that is too large stays the largest";
  ASSERT_EQ(report.gaps.size(), 2U);
  EXPECT_EQ(report.gaps[0].ring, HexLower(second));
  EXPECT_EQ(report.gaps[0].owner, "");
  EXPECT_EQ(report.gaps[0].missing, most);
  EXPECT_EQ(report.gaps[1].ring, HexLower(first));
  EXPECT_EQ(report.gaps[1].owner, "ring w0 of pid 7 uid 70012");
  EXPECT_EQ(report.gaps[1].records, 2U);
  EXPECT_EQ(report.gaps[1].missing, 11U);
}

TEST_F(VerifyTest, OneFlippedByteNamesTheRecordWhateverPartOfItIsHit) {
  SampleDecision sample;
  size_t entry_bytes = kEntryHeaderBytes + EncodeToString(sample.record).size();
  for (uint64_t record : {0U, 255U, 256U, 300U, 599U}) {
    std::string name = BundleName(kEntriesLevel, record / 256);
    size_t begin = OffsetOf(name, record % 256);
    // Every byte of one record, from its length on.
    for (size_t at = begin; at < begin + 2 + entry_bytes; at += 1 + (at - begin) / 8) {
      Flip(name, at);
      VerifyReport report = Verify();
      ASSERT_FALSE(report.good()) << "record " << record << " byte " << at - begin;
      ASSERT_EQ(report.first_bad_record, record) << report.findings.front();
      EXPECT_THAT(report.findings.front(), HasSubstr(Concat("record ", record)));
      Flip(name, at);
    }
  }
  EXPECT_TRUE(Verify().good());
}

TEST_F(VerifyTest, AnAlteredRecordIsNamedByItsDecisionIdToo) {
  std::string name = BundleName(kEntriesLevel, 1);
  Flip(name, OffsetOf(name, 45) - 1);  // The last byte of record 300.
  VerifyReport report = Verify();
  EXPECT_EQ(report.first_bad_decision, DecisionIdText(IdOf(300)));
  EXPECT_THAT(report.findings.front(), HasSubstr(DecisionIdText(IdOf(300))));
}

TEST_F(VerifyTest, AFlippedHashIsNotBlamedOnTheRecord) {
  Flip("tile/0/001", 44 * 32 + 7);
  VerifyReport report = Verify();
  ASSERT_FALSE(report.good());
  EXPECT_THAT(report.findings.front(), HasSubstr("tile tile/0/001 is altered or missing"));
  EXPECT_THAT(report.findings.front(), HasSubstr("the records themselves give the signed root"));
}

TEST_F(VerifyTest, AFlippedUpperHashIsNamed) {
  Flip("tile/1/000.p/2", 33);
  VerifyReport report = Verify();
  ASSERT_FALSE(report.good());
  EXPECT_THAT(report.findings.front(), HasSubstr("tile/1/000 hash 1"));
}

TEST_F(VerifyTest, EveryFlippedByteOfTheCheckpointIsSeen) {
  std::string note = Read(kCheckpointFile);
  for (size_t i = 0; i < note.size(); ++i) {
    Flip(std::string(kCheckpointFile), i);
    EXPECT_FALSE(Verify().good()) << i;
    Flip(std::string(kCheckpointFile), i);
  }
}

TEST_F(VerifyTest, ARecordReplacedTogetherWithItsHashesIsSeen) {
  std::string name = BundleName(kEntriesLevel, 1);
  std::string bundle = Read(name);
  std::vector<std::string_view> entries = SplitBundle(bundle, 256);
  std::string altered;
  std::string tile = Read("tile/0/001");
  for (size_t i = 0; i < entries.size(); ++i) {
    std::string entry(entries[i]);
    if (i == 44) {
      entry.back() = static_cast<char>(entry.back() ^ 1);
      TreeHash hash = LeafHash(entry);
      tile.replace(i * 32, 32, std::string(hash.begin(), hash.end()));
    }
    AppendFramed(entry, altered);
  }
  Write(name, altered);
  Write("tile/0/001", tile);
  VerifyReport report = Verify();
  ASSERT_FALSE(report.good());
  EXPECT_EQ(report.first_bad_record, 256U) << "the tile above covers records 256 to 511";
}

struct Cut {
  const char* name;
  std::function<void(const std::string& folder)> apply;
  std::optional<uint64_t> first;
};

class CutTest : public VerifyTest, public testing::WithParamInterface<Cut> {};

TEST_P(CutTest, IsFoundWithTheFirstMissingRecord) {
  GetParam().apply(folder_);
  VerifyReport report = Verify();
  ASSERT_FALSE(report.good());
  EXPECT_EQ(report.first_bad_record, GetParam().first) << report.findings.front();
}

namespace fs = std::filesystem;

INSTANTIATE_TEST_SUITE_P(
    Table, CutTest,
    testing::Values(
        Cut{"last_bundle_halved",
            [](const std::string& f) {
              std::string path = f + "/tile/entries/002.p/88";
              fs::resize_file(path, fs::file_size(path) / 88 * 44 + 3);
            },
            556},
        Cut{"last_bundle_removed",
            [](const std::string& f) { fs::remove_all(f + "/tile/entries/002.p"); }, 512},
        Cut{"a_bundle_removed", [](const std::string& f) { fs::remove(f + "/tile/entries/001"); },
            256},
        Cut{"a_tile_removed", [](const std::string& f) { fs::remove(f + "/tile/0/001"); }, 256},
        Cut{"checkpoint_removed", [](const std::string& f) { fs::remove(f + "/checkpoint"); }, {}},
        Cut{"key_removed",
            [](const std::string& f) {
              fs::remove(f + "/log.vkey");
              fs::remove(f + "/checkpoint");
            },
            {}}),
    [](const auto& row) { return row.param.name; });

TEST_F(VerifyTest, BytesAfterTheLastRecordOfAFullBundleAreSeen) {
  Write("tile/entries/001", Read("tile/entries/001") + "more");
  EXPECT_FALSE(Verify().good());
}

TEST_F(VerifyTest, AnOlderCheckpointPutBackIsSeenByTheSigningState) {
  Write(kCheckpointFile, early_checkpoint_);
  VerifyReport report = Verify();
  ASSERT_FALSE(report.good());
  EXPECT_THAT(report.findings.front(), HasSubstr("rolled back: 600 records were signed for"));
}

TEST_F(VerifyTest, AnOlderCheckpointPutBackIsSeenByAKnownLaterOne) {
  std::string later = Read(kCheckpointFile);
  Write(kCheckpointFile, early_checkpoint_);
  std::filesystem::remove_all(Path("private"));
  EXPECT_TRUE(Verify().good()) << "nothing here knows better";
  VerifyReport report = Verify(later);
  ASSERT_FALSE(report.good());
  EXPECT_THAT(report.findings.front(), HasSubstr("rolled back"));
}

// Whoever has the key may sign for any number of records: the answer comes soon all the same.
TEST_F(VerifyTest, ACheckpointOverMoreThanThereIsEndsAtTheHole) {
  auto key = Ed25519PrivateKey::FromPkcs8Pem(Read(kSigningKeyFile));
  auto verifier = NoteVerifierKey::Parse(vkey_);
  ASSERT_TRUE(key.ok() && verifier.ok());
  auto note = SignNote(PrintCheckpoint({kOrigin, UINT64_MAX, {}}), *verifier, *key);
  ASSERT_TRUE(note.ok());
  Write(kCheckpointFile, *note);
  VerifyReport report = Verify();
  EXPECT_FALSE(report.good());
  EXPECT_EQ(report.first_bad_record, 600U);
}

TEST_F(VerifyTest, AnotherLogsKeyDoesNotFit) {
  auto key = Ed25519PrivateKey::Generate();
  vkey_ = NoteVerifierKey::Make({kOrigin, key->public_key()})->ToString();
  VerifyReport report = Verify();
  ASSERT_FALSE(report.good());
  EXPECT_THAT(report.findings.front(), HasSubstr("no signature"));
}

TEST_F(VerifyTest, EveryRecordsProofStandsAloneAndAlteredOnesFall) {
  StatusOr<LogReader> reader = LogReader::Open(folder_);
  ASSERT_TRUE(reader.ok()) << reader.status();
  NoteVerifierKey key = *NoteVerifierKey::Parse(vkey_);
  for (uint64_t index : {0U, 255U, 256U, 511U, 512U, 599U}) {
    StatusOr<TlogProof> proof = reader->Prove(index);
    ASSERT_TRUE(proof.ok()) << proof.status();
    StatusOr<TlogProof> parsed = ParseTlogProof(PrintTlogProof(*proof));
    ASSERT_TRUE(parsed.ok());
    StatusOr<LocatedRecord> record = CheckTlogProof(*parsed, key);
    ASSERT_TRUE(record.ok()) << record.status();
    EXPECT_EQ(record->record.decision()->connection_id, index);
    parsed->extra.back() = static_cast<char>(parsed->extra.back() ^ 1);
    EXPECT_FALSE(CheckTlogProof(*parsed, key).ok());
    proof->index ^= 1;
    EXPECT_FALSE(CheckTlogProof(*proof, key).ok());
  }
  EXPECT_EQ(reader->Prove(600).status().code(), StatusCode::kNotFound);
}

TEST_F(VerifyTest, ARunningLogVerifiesAtAnyMoment) {
  auto log = Open();
  for (int i = 0; i < 20; ++i) {
    Add(*log, 61);
    VerifyReport report = Verify();
    ASSERT_TRUE(report.good()) << report.findings.front();
  }
}

}  // namespace
}  // namespace countersign::audit
