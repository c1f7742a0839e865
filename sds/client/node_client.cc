#include "sds/client/node_client.h"

#include "sds/client/agent_stream.h"
#include "sds/client/config_stream.h"
#include "sds/client/proxy_report.h"
#include "sds/client/sds_stream.h"

namespace countersign::sds {

// Streams are both streams and what they share. The members are in the order of their construction:
// the threads, last, end before what they use goes.
class NodeClient::Streams {
 public:
  Streams(const NodeClientOptions& options, NodeObserver& observer)
      : channel_(ConnectAgent(options.agent_socket)),
        sds_({channel_, &observer, &observer_mutex_, &report_}, options.instance),
        config_({channel_, &observer, &observer_mutex_, &report_},
                {options.instance, options.version}),
        sds_thread_("sds", [this](grpc::ClientContext& context) { return sds_.Serve(context); }),
        config_thread_("configuration",
                       [this](grpc::ClientContext& context) { return config_.Serve(context); }) {}

  ProxyReport& report() { return report_; }

 private:
  std::shared_ptr<grpc::Channel> channel_;
  std::mutex observer_mutex_;
  ProxyReport report_;
  SdsStream sds_;
  ConfigStream config_;
  AgentStream sds_thread_;
  AgentStream config_thread_;
};

NodeClient::NodeClient(std::unique_ptr<Streams> streams) : streams_(std::move(streams)) {}

NodeClient::~NodeClient() = default;

std::unique_ptr<NodeClient> NodeClient::Start(NodeClientOptions options, NodeObserver& observer) {
  return std::unique_ptr<NodeClient>(new NodeClient(std::make_unique<Streams>(options, observer)));
}

void NodeClient::ReportResult(const ProxyState& state) { streams_->report().SetState(state); }

}  // namespace countersign::sds
