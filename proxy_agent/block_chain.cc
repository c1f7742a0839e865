#include "proxy_agent/block_chain.h"

#include <algorithm>
#include <cstring>

#include "base/status.h"

namespace countersign::proxy {

BlockPool::~BlockPool() {
  while (free_ != nullptr) {
    Block* next = free_->next;
    delete free_;
    free_ = next;
  }
}

Block* BlockPool::Take() {
  if (free_ == nullptr) {
    return new Block;  // NOLINT: owned by the chain, returned through Give.
  }
  Block* block = free_;
  free_ = block->next;
  --free_count_;
  block->next = nullptr;
  block->begin = block->end = 0;
  return block;
}

void BlockPool::Give(Block* block) {
  if (free_count_ >= kFreeMax) {
    delete block;
    return;
  }
  block->next = free_;
  free_ = block;
  ++free_count_;
}

void BlockChain::Append(std::string_view bytes) {
  size_ += bytes.size();
  while (!bytes.empty()) {
    if (tail_ == nullptr || tail_->end == Block::kBytes) {
      Block* block = pool_->Take();
      (tail_ == nullptr ? head_ : tail_->next) = block;
      tail_ = block;
    }
    const size_t n = std::min(bytes.size(), Block::kBytes - tail_->end);
    std::memcpy(tail_->data + tail_->end, bytes.data(), n);
    tail_->end += static_cast<uint32_t>(n);
    bytes.remove_prefix(n);
  }
}

std::string_view BlockChain::Front() const {
  if (head_ == nullptr) {
    return {};
  }
  return {head_->data + head_->begin, head_->end - head_->begin};
}

size_t BlockChain::Vectors(std::span<iovec> into) const {
  size_t used = 0;
  for (Block* block = head_; block != nullptr && used < into.size(); block = block->next) {
    into[used++] = {block->data + block->begin, block->end - block->begin};
  }
  return used;
}

void BlockChain::Consume(size_t bytes) {
  CHECK(bytes <= size_);
  size_ -= bytes;
  while (bytes > 0) {
    const size_t n = std::min<size_t>(bytes, head_->end - head_->begin);
    head_->begin += static_cast<uint32_t>(n);
    bytes -= n;
    if (head_->begin == head_->end) {
      Block* done = head_;
      head_ = done->next;
      if (head_ == nullptr) {
        tail_ = nullptr;
      }
      pool_->Give(done);
    }
  }
}

void BlockChain::Clear() { Consume(size_); }

}  // namespace countersign::proxy
