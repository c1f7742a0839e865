// One good document of every kind with every field of the table, and what each slip in it becomes:
// an error at its line and column, with the offending text and the nearest valid word, and all of
// them at once.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "authz/kinds/value.h"
#include "tests/authz/kinds/load_helper.h"

namespace countersign::authz {
namespace {

using testing::HasSubstr;

struct Sample {
  std::string_view kind;
  std::string_view text;  // One key a line.
};

// In the order in which they load together: the first is the set of the following four.
constexpr Sample kSamples[] = {
    {"PolicySet", R"(apiVersion: countersign.dev/v1alpha1
kind: PolicySet
metadata:
  name: shop
spec:
  owner:
    id: spiffe://td/people/ana
  scope:
    under: spiffe://td/ns
  guardrail: false
)"},
    {"AccessPolicy", R"(apiVersion: countersign.dev/v1alpha1
kind: AccessPolicy
metadata:
  name: orders
spec:
  appliesTo:
    id: spiffe://td/ns/orders
  dryRun: false
  unmatched:
    dryRun: true
    until: 2099-12-31
  rules:
    - name: everything
      effect: allow
      expires: 2099-12-31
      from:
        - id: spiffe://td/ns/web
          identitySet: auditors
          trustDomain: td
          peerIp: 10.0.0.0/8
          except:
            id: spiffe://td/ns/old
            identitySet: auditors
            trustDomain: other
            peerIp: 10.9.0.0/16
      to:
        - methods: GET
          path: /orders/**
          host: orders
          port: 8443
          protocol: http
          sni: orders
          except:
            methods: HEAD
            path: /orders/x
            host: other
            port: 8444
            sni: other
        - grpc:
            service: shop.Orders
            methods: Get
      when:
        headers:
          x-tenant:
            re2: '[a-z]+'
        query:
          page:
            present: false
)"},
    {"IdentitySet", R"(apiVersion: countersign.dev/v1alpha1
kind: IdentitySet
metadata:
  name: auditors
spec:
  ids:
    - spiffe://td/people/ana
)"},
    {"PolicyTest", R"(apiVersion: countersign.dev/v1alpha1
kind: PolicyTest
metadata:
  name: tests
spec:
  cases:
    - name: one
      expect: deny
      rule: shop/orders/everything
      request:
        kind: http
        caller: spiffe://td/ns/web
        workload: spiffe://td/ns/orders
        peerIp: 10.1.2.3
        port: 8443
        sni: orders
        method: GET
        host: orders
        path: /orders/7
        headers:
          x-tenant: acme
        query:
          page: x
)"},
    {"PolicyAssertion", R"(apiVersion: countersign.dev/v1alpha1
kind: PolicyAssertion
metadata:
  name: never
spec:
  workloads: spiffe://td/ns/orders
  never:
    from:
      allExcept:
        - id: spiffe://td/ns/web
    to:
      - path: /refunds
    when:
      headers:
        x-tenant: acme
)"},
    {"Registration", R"(apiVersion: countersign.dev/v1alpha1
kind: Registration
metadata:
  name: orders
spec:
  id: spiffe://td/ns/orders
  nodes:
    - id: spiffe://td/agent/one
  selectors:
    unix:
      uid: 70012
      gid: 70012
      path: /usr/bin/countersign-proxy
      sha256: 0000000000000000000000000000000000000000000000000000000000000000
  proxy:
    applicationUid: 70011
  labels:
    app: orders
  svid:
    ttl: 1h
    keyType: ecdsa-p256
    dnsNames:
      - orders.shop.internal
    hint: internal
  jwt:
    ttl: 5m
    audiences:
      - billing
  federatesWith: []
)"},
    {"Service", R"(apiVersion: countersign.dev/v1alpha1
kind: Service
metadata:
  name: orders
spec:
  workload:
    id: spiffe://td/ns/orders
  ports:
    - name: web
      protocol: http
      listen: 127.0.0.1:8443
      application: unix:/run/shop/orders.sock
      tls: mesh
      probes:
        - path: /healthz
          from:
            - 10.0.0.0/8
      allowInPath:
        - semicolon
      audit: best-effort
  endpoints:
    - address: 10.0.0.7:8443
      port: web
    - dns: orders.shop.internal:8443
      port: web
  reach:
    - from:
        - id: spiffe://td/ns/web
      listen: 127.0.0.1:18443
      port: web
)"},
    {"Route", R"(apiVersion: countersign.dev/v1alpha1
kind: Route
metadata:
  name: orders
spec:
  service: orders
  rules:
    - match:
        path: /orders/**
        methods: GET
        host: orders
        headers:
          x-tenant: acme
      timeout:
        request: 2s
        try: 500ms
      retry:
        on: connect-failure
        tries: 2
        budget: 20%
      split:
        - service: orders
          weight: 1
)"},
};

// Lines of one document, and the whole that is loaded: the other documents of its set around it.
std::vector<std::string> LinesOf(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    size_t end = text.find('\n');
    lines.emplace_back(text.substr(0, end));
    text = text.substr(end + 1);
  }
  return lines;
}

LoadResult LoadWith(std::string_view kind, const std::vector<std::string>& lines) {
  std::vector<SourceFile> files;
  for (const Sample& sample : kSamples) {
    std::string text(sample.text);
    if (sample.kind == kind) {
      text.clear();
      for (const std::string& line : lines) {
        text += line + "\n";
      }
    }
    bool set = sample.kind == "PolicySet";
    files.push_back({set ? "d/set.yaml" : Concat("d/", sample.kind, ".yaml"), text});
  }
  return Load(files);
}

std::string FileOf(std::string_view kind) {
  return kind == "PolicySet" ? "d/set.yaml" : Concat("d/", kind, ".yaml");
}

// A key of a line: where it begins and ends.
struct Key {
  size_t begin = 0;
  size_t end = 0;
  std::string text;
};
std::optional<Key> KeyOfLine(const std::string& line) {
  size_t begin = line.find_first_not_of(" -");
  size_t end = line.find(':', begin);
  bool is_key = end != std::string::npos && (end + 1 == line.size() || line[end + 1] == ' ');
  return is_key ? std::optional<Key>({begin, end, line.substr(begin, end - begin)}) : std::nullopt;
}

TEST(EveryFieldTest, TheSamplesAreGood) {
  LoadResult result = LoadWith("", {});
  EXPECT_EQ(Findings(result), "");
  EXPECT_EQ(result.sets.size(), 1u);
  EXPECT_EQ(result.services.size() + result.registrations.size() + result.routes.size(), 3u);
}

void CollectKeys(const FieldSpec& spec, std::set<std::string>& keys) {
  for (const auto& [key, child] : spec.children) {
    if (child.row->type != FieldType::kUnsupported && key != "*") {
      keys.emplace(key);
    }
    CollectKeys(child, keys);
  }
}

TEST(EveryFieldTest, TheSamplesHoldEveryFieldOfEveryKind) {
  size_t kinds = 0;
  for (const KindRow& kind : AllKinds()) {
    for (const Sample& sample : kSamples) {
      if (sample.kind != kind.name) {
        continue;
      }
      ++kinds;
      std::set<std::string> wanted;
      if (kind.name != "PolicyAssertion") {  // Its parts are the rows of AccessPolicy.
        CollectKeys(SpecOf(kind), wanted);
      }
      for (const std::string& line : LinesOf(sample.text)) {
        if (std::optional<Key> key = KeyOfLine(line); key.has_value()) {
          wanted.erase(key->text);
        }
      }
      EXPECT_THAT(wanted, testing::IsEmpty()) << kind.name;
    }
    EXPECT_TRUE(!kind.refused.empty() || kinds > 0) << kind.name;
  }
  EXPECT_EQ(kinds, std::size(kSamples));
}

// Keys that their author chooses: a slip makes another good key.
bool IsFree(std::string_view key) { return key == "x-tenant" || key == "page" || key == "app"; }

TEST(EveryFieldTest, AMisspeltKeyIsNamedAtItsPlaceWithTheNearestWord) {
  size_t slips = 0;
  for (const Sample& sample : kSamples) {
    std::vector<std::string> good = LinesOf(sample.text);
    for (size_t i = 0; i < good.size(); ++i) {
      std::optional<Key> key = KeyOfLine(good[i]);
      if (!key.has_value() || IsFree(key->text)) {
        continue;
      }
      std::vector<std::string> lines = good;
      lines[i].insert(key->end, "q");
      LoadResult result = LoadWith(sample.kind, lines);
      std::string findings = Findings(result);
      std::string place =
          Concat(FileOf(sample.kind), ":", i + 1, ":", key->begin + 1, ": unknown ");
      EXPECT_THAT(findings, HasSubstr(place)) << good[i];
      EXPECT_THAT(findings, HasSubstr(Concat("\"", key->text, "q\""))) << good[i];
      EXPECT_THAT(findings, HasSubstr(Concat("(did you mean \"", key->text, "\"?)"))) << good[i];
      ++slips;
    }
  }
  EXPECT_GT(slips, 120u);
}

TEST(EveryFieldTest, AValueOfTheWrongShapeIsNamedAtItsPlace) {
  size_t slips = 0;
  for (const Sample& sample : kSamples) {
    std::vector<std::string> good = LinesOf(sample.text);
    for (size_t i = 0; i < good.size(); ++i) {
      std::optional<Key> key = KeyOfLine(good[i]);
      if (!key.has_value() || key->end + 1 == good[i].size()) {
        continue;
      }
      for (std::string_view wrong : {"[[x]]", "{ qq: [x] }", "''", "~", "'*?*'"}) {
        if (key->text == "hint" && wrong != "[[x]]" && wrong != "{ qq: [x] }" && wrong != "~") {
          continue;  // A free text, which may be empty.
        }
        if (wrong == "'*?*'" && (key->text == "name" || key->text == "rule" || IsFree(key->text) ||
                                 key->text == "sni" || key->text == "re2" || key->text == "host")) {
          if (sample.kind == "PolicyTest" || sample.kind == "Registration") {
            continue;  // Free texts there.
          }
        }
        if (wrong == "''" && sample.kind == "PolicyTest" && IsFree(key->text)) {
          continue;  // A header may be empty.
        }
        std::vector<std::string> lines = good;
        lines[i] = Concat(good[i].substr(0, key->end), ": ", wrong);
        LoadResult result = LoadWith(sample.kind, lines);
        EXPECT_FALSE(result.ok()) << lines[i] << " in " << sample.kind;
        EXPECT_THAT(Findings(result), HasSubstr(Concat(FileOf(sample.kind), ":", i + 1, ":")))
            << lines[i] << " in " << sample.kind;
        ++slips;
      }
    }
  }
  EXPECT_GT(slips, 350u);
}

TEST(EveryFieldTest, SlipsInAllKindsAreReportedTogether) {
  std::vector<SourceFile> files;
  std::vector<std::string> expected;
  for (const Sample& sample : kSamples) {
    std::vector<std::string> lines = LinesOf(sample.text);
    std::string text;
    for (size_t i = 0; i < lines.size(); ++i) {
      std::optional<Key> key = KeyOfLine(lines[i]);
      bool slips =
          key.has_value() && !IsFree(key->text) && key->end + 1 < lines[i].size() && i >= 5;
      if (slips) {
        lines[i].insert(key->end, "q");
        expected.push_back(
            Concat(FileOf(sample.kind), ":", i + 1, ":", key->begin + 1, ": unknown "));
      }
      text += lines[i] + "\n";
    }
    files.push_back({FileOf(sample.kind), text});
  }
  std::string findings = Findings(Load(files));
  EXPECT_GT(expected.size(), 70u);
  for (const std::string& place : expected) {
    EXPECT_THAT(findings, HasSubstr(place));
  }
}

}  // namespace
}  // namespace countersign::authz
