// BlockChain: bytes that wait to be sent, in blocks of 16 KiB that the worker recycles.
//
// A connection holds blocks only while it has unsent bytes; one writev sends many blocks.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace countersign::proxy {

struct Block {
  // One TLS record's plaintext fits, and so does one sealed record's overhead beside it.
  static constexpr size_t kBytes = 16 * 1024;
  Block* next = nullptr;
  uint32_t begin = 0;
  uint32_t end = 0;
  char data[kBytes];
};

// BlockPool recycles blocks. Belongs to one worker; outlives every chain made from it.
class BlockPool {
 public:
  BlockPool() = default;
  BlockPool(const BlockPool&) = delete;
  BlockPool& operator=(const BlockPool&) = delete;
  ~BlockPool();

  Block* Take();
  void Give(Block* block);

 private:
  // Above this, returned blocks go back to the heap: a burst must not stay resident.
  static constexpr size_t kFreeMax = 64;
  Block* free_ = nullptr;
  size_t free_count_ = 0;
};

// BlockChain is a queue of bytes. Move-free; belongs to its connection's worker.
class BlockChain {
 public:
  explicit BlockChain(BlockPool& pool) : pool_(&pool) {}
  BlockChain(const BlockChain&) = delete;
  BlockChain& operator=(const BlockChain&) = delete;
  ~BlockChain() { Clear(); }

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  void Append(std::string_view bytes);
  // Front is the first block's bytes; empty only if the chain is.
  std::string_view Front() const;
  // Vectors fills `into` with the first blocks and returns how many it used.
  size_t Vectors(std::span<iovec> into) const;
  void Consume(size_t bytes);
  void Clear();

 private:
  BlockPool* pool_;
  Block* head_ = nullptr;
  Block* tail_ = nullptr;
  size_t size_ = 0;
};

}  // namespace countersign::proxy
