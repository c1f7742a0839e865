#include "pdp/ext_authz.h"

#include <exception>

#include "envoy/ext_authz.pb.h"

namespace countersign::pdp {
namespace {

namespace wire = envoy::service::auth::v3;

constexpr std::string_view kDecisionHeader = "x-countersign-decision";
constexpr std::string_view kWorkloadKey = "workload";
// google.rpc.Code.
constexpr int kOk = 0;
constexpr int kInvalidArgument = 3;
constexpr int kPermissionDenied = 7;
constexpr int kBadRequestStatus = 400;
constexpr int kForbiddenStatus = 403;

// A callee, or why there is none.
struct Callee {
  std::string_view id;
  std::string_view fault;
};

Callee CalleeOf(const wire::AttributeContext& attributes, const ExtAuthzOptions& options) {
  const std::string* told = nullptr;
  for (const wire::MapEntry& entry : attributes.context_extensions()) {
    if (entry.key() == kWorkloadKey) {
      if (told != nullptr) {
        return {{}, "context_extensions has workload twice"};
      }
      told = &entry.value();
    }
  }
  if (options.workload.has_value()) {
    if (told != nullptr && *told != options.workload->str()) {
      return {{}, "context_extensions names another workload than the one that is served here"};
    }
    return {options.workload->str(), {}};
  }
  if (!options.workload_from_context) {
    return {{}, "no workload is configured"};
  }
  if (told == nullptr) {
    return {{}, "context_extensions has no workload"};
  }
  return {*told, {}};
}

void TakeHeaders(const wire::AttributeContext::HttpRequest& http, RawRequest& raw) {
  if (http.has_header_map()) {
    raw.header_form = HeaderForm::kLines;
    for (const wire::HeaderValue& header : http.header_map().headers()) {
      raw.headers.push_back(
          {header.key(), header.raw_value().empty() ? header.value() : header.raw_value()});
    }
    return;
  }
  raw.header_form = HeaderForm::kJoined;
  for (const wire::MapEntry& header : http.headers()) {
    raw.headers.push_back({header.key(), header.value()});
  }
}

RawRequest ToRaw(const wire::AttributeContext& attributes, std::string_view callee) {
  RawRequest raw;
  raw.callee = callee;
  raw.caller = attributes.source().principal();
  raw.peer_ip = attributes.source().address().socket_address().address();
  raw.port = attributes.destination().address().socket_address().port_value();
  raw.sni = attributes.tls_session().sni();
  if (!attributes.request().has_http()) {
    raw.kind = authz::RequestKind::kTcp;  // Envoy's network filter asks about connections.
    return raw;
  }
  const wire::AttributeContext::HttpRequest& http = attributes.request().http();
  raw.method = http.method();
  raw.target = http.path();
  raw.host = http.host();
  TakeHeaders(http, raw);
  return raw;
}

void AddHeader(google::protobuf::RepeatedPtrField<wire::HeaderValueOption>& headers,
               std::string_view name, std::string_view value) {
  wire::HeaderValueOption& option = *headers.Add();
  option.mutable_header()->mutable_key()->assign(name);
  option.mutable_header()->mutable_value()->assign(value);
  // Replaces whatever a client has put there.
  option.set_append_action(wire::HeaderValueOption::OVERWRITE_IF_EXISTS_OR_ADD);
}

std::string ToWire(const Answer& answer) {
  wire::CheckResponse response;
  if (answer.allowed()) {
    response.mutable_status()->set_code(kOk);
    AddHeader(*response.mutable_ok_response()->mutable_headers(), kDecisionHeader, answer.id);
    return response.SerializeAsString();
  }
  const bool bad = answer.kind == Answer::Kind::kBadRequest;
  response.mutable_status()->set_code(bad ? kInvalidArgument : kPermissionDenied);
  wire::DeniedHttpResponse& denied = *response.mutable_denied_response();
  denied.mutable_status()->set_code(bad ? kBadRequestStatus : kForbiddenStatus);
  AddHeader(*denied.mutable_headers(), "content-type", "application/json");
  // Who is denied learns the id; who sent what has no one meaning learns what that is.
  denied.set_body(
      bad ? Concat("{\"decision\":\"", answer.id, "\",\"reason\":\"", answer.reason, "\"}")
          : Concat("{\"decision\":\"", answer.id, "\"}"));
  return response.SerializeAsString();
}

// A denial that needs no memory: status {code: 7}.
std::string BareDenial() { return "\x0a\x02\x08\x07"; }

}  // namespace

std::string ExtAuthz::Check(std::string_view message) {
  try {
    if (message.size() > limits_.message_bytes_max) {
      return ToWire(decisions_.Refuse(
          Door::kExtAuthz, Fault::kOverLimit,
          Concat(message.size(), " bytes, over the limit of ", limits_.message_bytes_max)));
    }
    wire::CheckRequest request;
    if (!request.ParseFromArray(message.data(), static_cast<int>(message.size()))) {
      return ToWire(decisions_.Refuse(Door::kExtAuthz, Fault::kMalformed, "no CheckRequest"));
    }
    const Callee callee = CalleeOf(request.attributes(), options_);
    if (!callee.fault.empty()) {
      return ToWire(decisions_.Refuse(Door::kExtAuthz, Fault::kBadCallee, callee.fault));
    }
    return ToWire(decisions_.Decide(Door::kExtAuthz, ToRaw(request.attributes(), callee.id)));
  } catch (const std::exception&) {  // No memory.
    return BareDenial();
  }
}

}  // namespace countersign::pdp
