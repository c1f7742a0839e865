// Transport: one stream of bytes over a socket, with TLS or without.
//
// Reading is pulled by the owner; what is written is gathered and leaves at the end of the event
// batch: one recv and one writev in a direction however many records there are.
#pragma once

#include <memory>
#include <optional>
#include <span>

#include "base/fd.h"
#include "proxy_agent/block_chain.h"
#include "proxy_agent/tls_engine.h"
#include "proxy_agent/worker_io.h"

namespace countersign::proxy {

// Transport belongs to one worker. Its owner may change during its life (a connection goes from the
// handshake to a protocol, from one exchange to the pool). It must be buried, not deleted, when its
// owner may be called by it.
class Transport final : public Mortal, private EventHandler, private Turn::Owner {
 public:
  class Owner {
   public:
    // Advance does all work that can be done now, whatever woke it.
    virtual void Advance() = 0;

   protected:
    ~Owner() = default;
  };
  enum class Io : uint8_t {
    kOk,
    kWouldBlock,  // Advance is called when there is more.
    kEnd,         // The peer ended its direction cleanly.
    kCut,         // The connection broke, or ended without TLS close_notify.
  };
  enum class Connected : uint8_t { kYes, kNotYet };

  Transport(WorkerIo& io, Fd fd, Connected connected);
  ~Transport() override;
  // Start registers the socket; events go to the owner.
  Status Start();
  void set_owner(Owner* owner) { owner_ = owner; }

  // StartTls puts TLS between; call it before the first Read.
  void StartTls(std::shared_ptr<const TlsContext> context,
                std::optional<identity::SpiffeId> expected_peer);
  // Connect is kOk once the socket is connected, kCut if it failed.
  Io Connect();
  // Handshake is kOk once TLS is established (at once without TLS), kCut if it failed.
  Io Handshake();
  // Peek looks at the first byte before TLS has begun.
  Io Peek(char& first);

  // Read fills `into` as far as it can.
  Io Read(std::span<char> into, size_t& got);
  // MayRead is false if Read would surely find nothing.
  bool MayRead() const { return readable_ || (tls_ && !tls_->wants_input()); }
  // Drop reads and forgets what arrived, below TLS; kEnd or kCut at the end, kOk if there was more
  // than one turn may take.
  Io Drop();
  // Write gathers; it leaves with the batch.
  void Write(std::string_view bytes);
  // Full: the peer takes less than we write; the source of bytes should rest until Advance.
  bool Full() const { return out_.size() >= out_bytes_max_; }
  // Crowded: less than a quarter is free, so that no new credit is given. Whoever was refused
  // credit for it is told by Advance when it ends.
  bool Crowded() const { return Full() || unsent_bytes() > out_bytes_max_ - out_bytes_max_ / 4; }
  size_t unsent_bytes() const { return out_.size() + sealed_.size(); }
  // FinishWrites ends our direction after what was written; reading goes on.
  void FinishWrites();
  bool writes_finished() const { return finished_; }
  // Close closes the socket at once. No event comes after it.
  void Close();

  bool readable() const { return readable_; }
  bool broken() const { return broken_; }
  bool hung_up() const { return hung_up_; }
  // connect_error is the errno of a Connect that failed.
  int connect_error() const { return connect_error_; }
  int fd() const { return fd_.get(); }
  TlsEngine* tls() { return tls_ ? &*tls_ : nullptr; }
  const TlsEngine* tls() const { return tls_ ? &*tls_ : nullptr; }
  uint64_t bytes_in() const { return bytes_in_; }
  uint64_t bytes_out() const { return bytes_out_; }

 private:
  void OnEvents(uint32_t events) override;
  void OnTurn(Turn& which) override;
  Io Receive(std::span<char> into, size_t& got);
  Io ReadTls(std::span<char> into, size_t& got);
  void Flush();
  bool Seal();
  bool WriteOut(BlockChain& chain);
  void Break();

  WorkerIo& io_;
  Fd fd_;
  Owner* owner_ = nullptr;
  BlockChain out_;     // What the owner wrote, in plaintext.
  BlockChain sealed_;  // TLS records that wait for the socket.
  std::optional<TlsEngine> tls_;
  Turn flush_;
  Turn
      wake_;  // Tells the owner what a flush changed; in the next batch, so that others come first.
  size_t out_bytes_max_;
  uint64_t bytes_in_ = 0;
  uint64_t bytes_out_ = 0;
  int connect_error_ = 0;
  bool connected_;
  bool readable_ = true;  // Until the kernel says otherwise.
  bool writable_ = true;
  bool hung_up_ = false;   // The kernel saw the peer's end; it may stand behind unread bytes.
  bool broken_ = false;    // Nothing can be written any more.
  bool finish_ = false;    // Our direction ends when all is sent.
  bool finished_ = false;  // It did.
};

}  // namespace countersign::proxy
