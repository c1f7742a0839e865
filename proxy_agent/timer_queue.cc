#include "proxy_agent/timer_queue.h"

namespace countersign::proxy {

Deadline::~Deadline() {
  if (index_ != kNotQueued) {
    queue_->Remove(*this);
  }
}

void Deadline::Set(MonotonicTime at) {
  at_ = at;
  if (index_ != kNotQueued) {
    if (queued_at_ <= at) {
      return;  // The heap looks at it in time, and puts it back.
    }
    queue_->Remove(*this);
  }
  queue_->Insert(*this);
}

std::optional<MonotonicTime> TimerQueue::Next() const {
  if (heap_.empty()) {
    return std::nullopt;
  }
  return heap_.front()->queued_at_;
}

void TimerQueue::Run(MonotonicTime now) {
  while (!heap_.empty() && heap_.front()->queued_at_ <= now) {
    Deadline& first = *heap_.front();
    Remove(first);
    if (!first.set()) {
      continue;
    }
    if (first.at_ > now) {
      Insert(first);
      continue;
    }
    first.Clear();
    first.owner_->OnDeadline(first);
  }
}

void TimerQueue::Insert(Deadline& deadline) {
  deadline.queued_at_ = deadline.at_;
  heap_.push_back(nullptr);
  Place(heap_.size() - 1, &deadline);
  SiftUp(deadline.index_);
}

void TimerQueue::Remove(Deadline& deadline) {
  const size_t hole = deadline.index_;
  deadline.index_ = Deadline::kNotQueued;
  Deadline* last = heap_.back();
  heap_.pop_back();
  if (hole == heap_.size()) {
    return;
  }
  Place(hole, last);
  SiftUp(hole);
  SiftDown(last->index_);
}

void TimerQueue::Place(size_t index, Deadline* deadline) {
  heap_[index] = deadline;
  deadline->index_ = index;
}

void TimerQueue::SiftUp(size_t index) {
  Deadline* moving = heap_[index];
  while (index > 0) {
    const size_t parent = (index - 1) / 2;
    if (heap_[parent]->queued_at_ <= moving->queued_at_) {
      break;
    }
    Place(index, heap_[parent]);
    index = parent;
  }
  Place(index, moving);
}

void TimerQueue::SiftDown(size_t index) {
  Deadline* moving = heap_[index];
  while (true) {
    size_t child = 2 * index + 1;
    if (child >= heap_.size()) {
      break;
    }
    if (child + 1 < heap_.size() && heap_[child + 1]->queued_at_ < heap_[child]->queued_at_) {
      ++child;
    }
    if (moving->queued_at_ <= heap_[child]->queued_at_) {
      break;
    }
    Place(index, heap_[child]);
    index = child;
  }
  Place(index, moving);
}

}  // namespace countersign::proxy
