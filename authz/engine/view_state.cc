// Views that are kept: one block of memory for each connection.
#include <cstring>

#include "authz/engine/program.h"

namespace countersign::authz::engine {

std::unique_ptr<ViewState> ViewState::Keep(const Program& program, const CanonicalRequest& request,
                                           const ScratchState& scratch) {
  size_t boxes = (scratch.view_boxes.size() + 1) / 2 * 2;
  size_t more = scratch.view_groups.size() * sizeof(ViewGroup) + boxes * sizeof(uint32_t) +
                scratch.view_marks.size() * sizeof(uint64_t) + request.callee.size() +
                request.caller.size() + request.sni.size();
  std::unique_ptr<ViewState> made(new (more) ViewState());
  made->program = program.id;
  made->kind = request.kind;
  made->has_ip = request.peer_ip.has_value();
  made->peer_ip = request.peer_ip.value_or(IpAddress());
  made->port = request.port;
  made->callee_size = static_cast<uint32_t>(request.callee.size());
  made->caller_size = static_cast<uint32_t>(request.caller.size());
  made->sni_size = static_cast<uint32_t>(request.sni.size());
  made->group_count = static_cast<uint32_t>(scratch.view_groups.size());
  made->box_count = static_cast<uint32_t>(boxes);
  made->mark_count = static_cast<uint32_t>(scratch.view_marks.size());
  char* at = reinterpret_cast<char*>(made.get() + 1);
  auto put = [&at](const void* bytes, size_t size, size_t room) {
    if (size != 0) {
      std::memcpy(at, bytes, size);
    }
    std::memset(at + size, 0, room - size);
    at += room;
  };
  size_t groups_size = scratch.view_groups.size() * sizeof(ViewGroup);
  put(scratch.view_groups.data(), groups_size, groups_size);
  put(scratch.view_boxes.data(), scratch.view_boxes.size() * sizeof(uint32_t),
      boxes * sizeof(uint32_t));
  size_t marks_size = scratch.view_marks.size() * sizeof(uint64_t);
  put(scratch.view_marks.data(), marks_size, marks_size);
  for (std::string_view name : {request.callee, request.caller, request.sni}) {
    put(name.data(), name.size(), name.size());
  }
  return made;
}

bool ViewState::IsOf(const Program& of, const CanonicalRequest& request) const {
  if (program != of.id || kind != request.kind || port != request.port ||
      has_ip != request.peer_ip.has_value() || (has_ip && peer_ip != *request.peer_ip)) {
    return false;
  }
  const char* at = names();
  return std::string_view(at, callee_size) == request.callee &&
         std::string_view(at + callee_size, caller_size) == request.caller &&
         std::string_view(at + callee_size + caller_size, sni_size) == request.sni;
}

void ViewState::Soon(const Program& of) const {
  constexpr uint32_t kAhead = 4;
  if (program == of.id) {
    for (uint32_t i = 0; i < std::min(box_count, kAhead); ++i) {
      of.half(kind).Soon(boxes()[i]);
    }
  }
}

View ViewState::view() const { return {{groups(), group_count}, boxes(), marks()}; }

}  // namespace countersign::authz::engine
