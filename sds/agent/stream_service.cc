#include "sds/agent/stream_service.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

namespace countersign::agent {

grpc::Status ToGrpc(const Status& status) {
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(Message(status)));
}

std::string EqualBytes(const google::protobuf::MessageLite& message) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    message.SerializeToCodedStream(&coded);
  }
  return bytes;
}

StatusOr<StreamCaller> TakeCaller(const ServiceContext& context,
                                  const grpc::ServerContextBase& call) {
  std::shared_ptr<const UnixCaller> caller = context.listener.CallerOf(call);
  if (!caller || !caller->facts) {
    return PermissionDenied("the caller's process is not known");
  }
  auto process = std::static_pointer_cast<const AttestedProcess>(caller->facts);
  if (Status status = process->CheckUnchanged(); !status.ok()) {
    return PermissionDenied(Message(status));
  }
  ASSIGN_OR_RETURN(std::shared_ptr<void> slot, context.slots.Take(caller->uid));
  return StreamCaller{std::move(process), std::move(slot)};
}

StatusOr<Attestation> AttestCaller(const ServiceContext& context, const AgentView& view,
                                   const std::shared_ptr<const AttestedProcess>& process) {
  if (!view.state) {
    return Unavailable("the agent has not heard from its server yet");
  }
  Attestation attestation = context.attestor.Attest(process, view.state->registrations());
  switch (attestation.outcome) {
    case Attestation::Outcome::kMatched:
    case Attestation::Outcome::kPending:
      return attestation;
    case Attestation::Outcome::kUnavailable:
      if (context.refusals.Take(process->uid()) != LogBudget::Verdict::kSkip) {
        LogWarning("a caller could not be attested",
                   {{"pid", process->pid()}, {"uid", process->uid()}, {"why", attestation.why}});
      }
      return Unavailable("the caller could not be attested; try again");
    case Attestation::Outcome::kNoMatch:
      break;
  }
  return PermissionDenied("no identity is registered for this process on this node");
}

void LogNoRegistration(const ServiceContext& context, const AttestedProcess& process) {
  LogBudget::Verdict verdict = context.refusals.Take(process.uid());
  if (verdict == LogBudget::Verdict::kSkip) {
    return;
  }
  LogInfo("a caller has no registration here",
          {{"pid", process.pid()},
           {"uid", process.uid()},
           {"gid", process.gid()},
           {"path", process.exe_status().ok() ? process.exe_path() : std::string()}});
  if (verdict == LogBudget::Verdict::kWriteAndSayLast) {
    LogInfo("further refusals of this user are not logged for a minute", {{"uid", process.uid()}});
  }
}

}  // namespace countersign::agent
