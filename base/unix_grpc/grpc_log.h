// gRPC's own log lines go through ours, so that a JSON log stays JSON.
#pragma once

namespace countersign {

// RouteGrpcLog is called by main before gRPC is first used. What gRPC says is for debugging: it
// logs as errors what any stranger on the network can cause.
void RouteGrpcLog();

}  // namespace countersign
