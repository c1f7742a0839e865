// Registry: the live exchanges, tunnels and connections of one worker, so that a change of policy,
// bundle or SVID finds every verdict that rests on it; and the weak handles to them.
#pragma once

#include <cstdint>
#include <vector>

#include "base/status.h"

namespace countersign::proxy {

// Change says what moved since a verdict was made.
struct Change {
  bool policy = false;
  bool bundle = false;
  bool svid = false;
  void Merge(const Change& other) {
    policy |= other.policy;
    bundle |= other.bundle;
    svid |= other.svid;
  }
  bool any() const { return policy || bundle || svid; }
};

// Revisable is what rests on a verdict. Revise judges again and cuts itself if the answer is no.
class Revisable {
 public:
  virtual void Revise(const Change& change) = 0;

 protected:
  ~Revisable() = default;
};

// WeakHandle names an entry of a WeakTable that may be gone; Find tells.
struct WeakHandle {
  uint32_t slot = 0xffffffff;
  uint32_t generation = 0;
};

// WeakTable finds entries by handles that never dangle. Belongs to one worker.
template <class T>
class WeakTable {
 public:
  WeakHandle Add(T& entry) {
    uint32_t slot = 0;
    if (free_.empty()) {
      slot = static_cast<uint32_t>(slots_.size());
      slots_.push_back({});
    } else {
      slot = free_.back();
      free_.pop_back();
    }
    slots_[slot].entry = &entry;
    return {slot, slots_[slot].generation};
  }
  void Remove(WeakHandle handle) {
    if (Find(handle) != nullptr) {
      slots_[handle.slot].entry = nullptr;
      ++slots_[handle.slot].generation;
      free_.push_back(handle.slot);
    }
  }
  // Find is the entry, or null if it is gone, whoever has its slot now.
  T* Find(WeakHandle handle) const {
    return handle.slot < slots_.size() && slots_[handle.slot].generation == handle.generation
               ? slots_[handle.slot].entry
               : nullptr;
  }
  size_t size() const { return slots_.size() - free_.size(); }

 protected:
  struct Slot {
    T* entry = nullptr;
    uint32_t generation = 0;
  };
  std::vector<Slot> slots_;

 private:
  std::vector<uint32_t> free_;
};

// Registry is the table of what rests on verdicts. Entries may leave and enter while a sweep is
// under way.
class Registry : public WeakTable<Revisable> {
 public:
  // BeginSweep starts over with everything that changed since the last sweep ended. Who enters
  // later was judged on the new basis already.
  void BeginSweep(const Change& change) {
    change_.Merge(change);
    cursor_ = slots_.size();
  }
  bool sweeping() const { return cursor_ > 0; }
  // Sweep revises at most `entries_max`, and returns whether more are left.
  bool Sweep(size_t entries_max) {
    for (size_t looked = 0; cursor_ > 0 && looked < entries_max; ++looked) {
      --cursor_;
      if (cursor_ < slots_.size() && slots_[cursor_].entry != nullptr) {
        slots_[cursor_].entry->Revise(change_);
      }
    }
    if (cursor_ == 0) {
      change_ = {};
    }
    return cursor_ > 0;
  }

 private:
  Change change_;
  size_t cursor_ = 0;
};

}  // namespace countersign::proxy
