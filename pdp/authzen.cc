#include "pdp/authzen.h"

#include <algorithm>
#include <array>

#include "pdp/authzen_request.h"

namespace countersign::pdp {
namespace {

constexpr std::string_view kEvaluation = "/access/v1/evaluation";
constexpr std::string_view kEvaluations = "/access/v1/evaluations";
constexpr std::string_view kMetadata = "/.well-known/authzen-configuration";

HttpAnswer Says(int status, std::string_view error) {
  const Json body = {{"error", error}};
  return {.status = status, .body = body.dump() + "\n", .request_id = {}};
}

bool IsJson(std::string_view content_type) {
  std::string_view type = content_type.substr(0, content_type.find(';'));
  while (type.ends_with(' ')) {
    type.remove_suffix(1);
  }
  constexpr std::string_view kJson = "application/json";
  return std::ranges::equal(type, kJson, [](char a, char b) {
    return (a >= 'A' && a <= 'Z' ? static_cast<char>(a + ('a' - 'A')) : a) == b;
  });
}

// X-Request-ID goes back as it came, if it is short and cannot break out of its line.
bool MayEcho(std::string_view id, size_t bytes_max) {
  return id.size() <= bytes_max &&
         std::ranges::all_of(id, [](char byte) { return byte > ' ' && byte < 0x7f; });
}

// Semantic says when a list of evaluations ends early: AuthZEN section 7.1.2.1.
enum class Semantic : uint8_t { kExecuteAll, kDenyOnFirstDeny, kPermitOnFirstPermit };

StatusOr<Semantic> ReadSemantic(const Json& document) {
  const auto options = document.find("options");
  if (options == document.end()) {
    return Semantic::kExecuteAll;
  }
  if (!options->is_object()) {
    return InvalidArgument("options is no object");
  }
  const auto semantic = options->find("evaluations_semantic");
  if (options->size() > (semantic == options->end() ? 0 : 1)) {
    return InvalidArgument("options has a member other than evaluations_semantic");
  }
  constexpr std::array<std::pair<std::string_view, Semantic>, 3> kNames = {
      {{"execute_all", Semantic::kExecuteAll},
       {"deny_on_first_deny", Semantic::kDenyOnFirstDeny},
       {"permit_on_first_permit", Semantic::kPermitOnFirstPermit}}};
  if (semantic == options->end()) {
    return Semantic::kExecuteAll;
  }
  for (const auto& [name, value] : kNames) {
    if (*semantic == name) {
      return value;
    }
  }
  return InvalidArgument("options.evaluations_semantic is none of execute_all, ",
                         "deny_on_first_deny, permit_on_first_permit");
}

const Json* MemberOf(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found == object.end() ? nullptr : &*found;
}

// A member of the item itself, or the default of the whole request (AuthZEN section 7.1.1).
EvaluationParts PartsOf(const Json& item, const Json& defaults) {
  const auto part = [&](const char* name) {
    const Json* own = MemberOf(item, name);
    return own != nullptr ? own : MemberOf(defaults, name);
  };
  return {part("subject"), part("action"), part("resource"), part("context")};
}

// The first member that an object has and should not have; empty: none.
std::string UnknownMember(const Json& object, bool several) {
  for (const auto& [name, value] : object.items()) {
    const bool known = name == "subject" || name == "action" || name == "resource" ||
                       name == "context" ||
                       (several && (name == "evaluations" || name == "options"));
    if (!known) {
      return name;
    }
  }
  return {};
}

Json ToJson(const Answer& answer) {
  Json context = {{"id", answer.id}, {"reason", answer.reason}};
  if (!answer.rule.empty()) {
    context["rule"] = answer.rule;
  }
  if (!answer.detail.empty()) {
    context["detail"] = answer.detail;
  }
  return {{"decision", answer.allowed()}, {"context", std::move(context)}};
}

}  // namespace

HttpAnswer AuthZen::Handle(const HttpRequest& request) {
  HttpAnswer answer;
  try {
    answer = Route(request);
  } catch (const std::exception&) {  // No memory.
    answer = Says(500, "it could not be done");
  }
  if (MayEcho(request.request_id, limits_.name_bytes_max)) {
    answer.request_id = request.request_id;
  }
  return answer;
}

HttpAnswer AuthZen::Route(const HttpRequest& request) {
  const bool one = request.path == kEvaluation;
  if (one || request.path == kEvaluations) {
    return request.method == "POST" ? Post(request, !one) : Says(405, "POST only");
  }
  const bool reads = request.method == "GET" || request.method == "HEAD";
  if (request.path == "/healthz") {
    return reads ? HttpAnswer{.status = 200, .body = decisions_.Health(), .request_id = {}}
                 : Says(405, "GET only");
  }
  if (request.path == "/readyz") {
    const bool ready = decisions_.ready();
    return reads ? HttpAnswer{.status = ready ? 200 : 503,
                              .body = decisions_.Health(),
                              .request_id = {}}
                 : Says(405, "GET only");
  }
  if (request.path == "/metrics") {
    return reads ? HttpAnswer{.status = 200,
                              .content_type =
                                  "application/openmetrics-text; version=1.0.0; charset=utf-8",
                              .body = decisions_.Metrics(),
                              .request_id = {}}
                 : Says(405, "GET only");
  }
  if (request.path == kMetadata) {
    return reads ? Metadata() : Says(405, "GET only");
  }
  return Says(404, "there is no such path");
}

HttpAnswer AuthZen::Metadata() const {
  if (options_.public_url.empty()) {
    return Says(404, "this decision point was not told its --public-url");
  }
  const Json metadata = {
      {"policy_decision_point", options_.public_url},
      {"access_evaluation_endpoint", Concat(options_.public_url, kEvaluation)},
      {"access_evaluations_endpoint", Concat(options_.public_url, kEvaluations)}};
  return {.status = 200, .body = metadata.dump() + "\n", .request_id = {}};
}

HttpAnswer AuthZen::Post(const HttpRequest& request, bool several) {
  if (!IsJson(request.content_type) || request.encoded) {
    return Says(415, "the body must be application/json without content-encoding");
  }
  StatusOr<Json> document = identity::ParseStrictJson(
      request.body, {"the request", limits_.message_bytes_max, limits_.json_depth_max});
  if (!document.ok()) {
    return Says(400, Message(document.status()));
  }
  if (!document->is_object()) {
    return Says(400, "the request is no JSON object");
  }
  const auto judge = [this](const Json& item, const Json& defaults, bool whole) {
    RawRequest raw;
    if (!item.is_object()) {
      return decisions_.Refuse(Door::kAuthZen, Fault::kMalformed, "an evaluation is no object");
    }
    if (const std::string name = UnknownMember(item, whole); !name.empty()) {
      return decisions_.Refuse(Door::kAuthZen, Fault::kMalformed,
                               Concat("unknown member ", Quoted(name)));
    }
    if (auto fault = ReadEvaluation(PartsOf(item, defaults), raw); fault.has_value()) {
      return decisions_.Refuse(Door::kAuthZen, Fault::kMalformed, *fault);
    }
    if (options_.workload.has_value() && raw.callee != options_.workload->str()) {
      return decisions_.Refuse(Door::kAuthZen, Fault::kBadCallee,
                               "another workload is served here");
    }
    return decisions_.Decide(Door::kAuthZen, raw);
  };
  const Json* evaluations = several ? MemberOf(*document, "evaluations") : nullptr;
  if (evaluations == nullptr || (evaluations->is_array() && evaluations->empty())) {
    return {.status = 200,
            .body = ToJson(judge(*document, *document, several)).dump() + "\n",
            .request_id = {}};
  }
  if (!evaluations->is_array()) {
    return Says(400, "evaluations is no array");
  }
  if (const std::string unknown = UnknownMember(*document, true); !unknown.empty()) {
    return Says(400, Concat("unknown member ", Quoted(unknown)));
  }
  const StatusOr<Semantic> semantic = ReadSemantic(*document);
  if (!semantic.ok()) {
    return Says(400, Message(semantic.status()));
  }
  if (evaluations->size() > limits_.evaluations_max) {
    return Says(413, Concat("more evaluations than the limit of ", limits_.evaluations_max));
  }
  Json answers = Json::array();
  for (const Json& item : *evaluations) {
    const Answer answer = judge(item, *document, false);
    answers.push_back(ToJson(answer));
    if ((*semantic == Semantic::kDenyOnFirstDeny && !answer.allowed()) ||
        (*semantic == Semantic::kPermitOnFirstPermit && answer.allowed())) {
      break;
    }
  }
  const Json body = {{"evaluations", std::move(answers)}};
  return {.status = 200, .body = body.dump() + "\n", .request_id = {}};
}

}  // namespace countersign::pdp
