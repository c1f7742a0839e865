// Between the server's values and the messages that carry them. No network here.
#pragma once

#include <vector>

#include "countersign/v1/admin.pb.h"
#include "countersign/v1/node.pb.h"
#include "identity/server/node_sessions.h"
#include "identity/server/node_view.h"

namespace countersign::server {

v1::Revision ToProto(Revision revision);
Revision FromProto(const v1::Revision& revision);

v1::PolicySetVersion ToProto(const PolicySetVersion& version);
v1::ProxyStatus ToProto(const RunningProxy& proxy);
RunningProxy FromProto(const v1::ProxyStatus& proxy);

v1::Resource ToResource(const NodeView::value_type& item);
// MakeUpdate carries a change; with `full`, `change` is against the empty view.
v1::Update MakeUpdate(Revision revision, const ViewChange& change, bool full);

}  // namespace countersign::server
