// A proxy of two workers that is told to stop while both hold connections.
#include <gmock/gmock.h>

#include <atomic>
#include <future>

#include "tests/proxy_agent/mesh.h"
#include "tests/support/worker_of.h"

namespace countersign::proxy {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

using Streams = std::vector<std::unique_ptr<TestStream>>;

class StopTest : public ::testing::Test {
 protected:
  StopTest()
      : application_(TestServer::Start("127.0.0.1:0", [this](TestStream& s) { Answer(s); })) {
    facts_.listen = FreeAddress();
    facts_.reach = FreeAddress();
    facts_.application = application_->address();
    InstanceOptions options{.name = "test", .workers = 2};
    options.limits.linger_deadline =
        std::chrono::seconds(40);  // The test decides when work is done.
    proxy_ = StartProxy(ca_, kOrders, PolicyYaml(kWebReads) + ServiceYaml(facts_),
                        std::chrono::hours(1), std::move(options));
  }
  // /orders/slow is answered when the test says so.
  void Answer(TestStream& stream) {
    std::string head;
    while (ReadRequest(stream, head)) {
      if (head.find("/orders/slow") != std::string::npos) {
        ++under_way_;
        finish_.wait_for(std::chrono::minutes(1));
      }
      stream.Write("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwhole");
    }
  }
  static void Send(TestStream& stream, const std::string& path) {
    stream.Write(Concat("GET ", path, " HTTP/1.1\r\nhost: orders\r\n\r\n"));
  }
  // OnBoth is one kept connection of web in each worker.
  Streams OnBoth() {
    const std::shared_ptr<const identity::X509Svid> svid = ca_.Svid("/ns/prod/sa/web");
    Streams both;
    std::optional<int> first;
    for (int i = 0; i < 64 && both.size() < 2; ++i) {
      auto stream = TestStream::ConnectTls(
          facts_.listen, {.identity = {.chain_pem = svid->ChainPem(), .key_pem = svid->KeyPem()},
                          .alpn = {"http/1.1"},
                          .server_name = ""});
      EXPECT_TRUE(stream.ok()) << stream.status();
      Send(**stream, "/orders/7");
      EXPECT_THAT(ReadResponse(**stream), StartsWith("HTTP/1.1 200 OK\r\n"));
      const std::optional<int> worker = WorkerOf(::getpid(), **stream);
      EXPECT_TRUE(worker.has_value());
      if (both.empty() || worker != first) {
        first = worker;
        both.push_back(*std::move(stream));
      }
    }
    EXPECT_EQ(both.size(), 2u);
    return both;
  }

  TestCa ca_;
  std::promise<void> finished_;
  std::shared_future<void> finish_ = finished_.get_future().share();
  std::atomic<int> under_way_ = 0;
  std::unique_ptr<TestServer> application_;
  ServiceFacts facts_;
  std::unique_ptr<Proxy> proxy_;
};

TEST_F(StopTest, EachWorkerEndsWhatIsIdleAtOnceAndFinishesWhatIsUnderWay) {
  Streams idle = OnBoth();
  Streams busy = OnBoth();
  for (const auto& stream : busy) {
    Send(*stream, "/orders/slow");
  }
  ASSERT_TRUE(Eventually([&] { return under_way_ == 2; }));
  const std::future<void> stopped = std::async(std::launch::async, [&] { proxy_->Stop(); });
  for (const auto& stream : idle) {
    EXPECT_TRUE(stream->WaitForEnd()) << "a worker waits for the other's work";
  }
  finished_.set_value();
  for (const auto& stream : busy) {
    EXPECT_THAT(ReadResponse(*stream), HasSubstr("whole"));
    EXPECT_TRUE(stream->WaitForEnd());
  }
  idle.clear();  // A closed connection lingers until its peer has closed too.
  busy.clear();
  EXPECT_EQ(stopped.wait_for(kPatience), std::future_status::ready);
}

}  // namespace
}  // namespace countersign::proxy
