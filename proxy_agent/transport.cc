#include "proxy_agent/transport.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <array>

#include "proxy_agent/metrics.h"

namespace countersign::proxy {

Transport::Transport(WorkerIo& io, Fd fd, Connected connected)
    : io_(io),
      fd_(std::move(fd)),
      out_(io.blocks),
      sealed_(io.blocks),
      flush_(*this),
      wake_(*this),
      out_bytes_max_(io.limits.out_bytes_max),
      connected_(connected == Connected::kYes),
      writable_(connected_) {}

Transport::~Transport() = default;

Status Transport::Start() {
  return io_.loop.Watch(fd_.get(), *this, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
}

void Transport::StartTls(std::shared_ptr<const TlsContext> context,
                         std::optional<identity::SpiffeId> expected_peer) {
  tls_.emplace(std::move(context), io_.clock, sealed_, std::move(expected_peer),
               io_.limits.key_updates_max);
}

void Transport::OnEvents(uint32_t events) {
  if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) {
    readable_ = true;
  }
  if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) {
    hung_up_ = true;
  }
  if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0 && !writable_) {
    writable_ = true;
    if (connected_) {
      Flush();
    }
  }
  if (owner_ != nullptr && fd_.valid()) {
    owner_->Advance();
  }
}

Transport::Io Transport::Connect() {
  if (connected_) {
    return Io::kOk;
  }
  if (!writable_) {
    return Io::kWouldBlock;
  }
  int error = 0;
  socklen_t size = sizeof(error);
  if (getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0) {
    Break();
    connect_error_ = error;
    return Io::kCut;
  }
  connected_ = true;
  return Io::kOk;
}

Transport::Io Transport::Peek(char& first) {
  const ssize_t got = recv(fd_.get(), &first, 1, MSG_PEEK);
  if (got == 1) {
    return Io::kOk;
  }
  if (got == 0) {
    return Io::kEnd;
  }
  return errno == EAGAIN || errno == EINTR ? Io::kWouldBlock : Io::kCut;
}

Transport::Io Transport::Receive(std::span<char> into, size_t& got) {
  got = 0;
  if (!readable_) {
    return Io::kWouldBlock;
  }
  ssize_t count = 0;
  do {
    count = recv(fd_.get(), into.data(), into.size(), 0);
  } while (count < 0 && errno == EINTR);
  if (count > 0) {
    got = static_cast<size_t>(count);
    bytes_in_ += got;
    // epoll(7): a short read means that the buffer was emptied; an end behind it is known by
    // hung_up_, or comes as a new event.
    if (got < into.size() && !hung_up_) {
      readable_ = false;
    }
    return Io::kOk;
  }
  if (count == 0) {
    return Io::kEnd;
  }
  if (errno == EAGAIN) {
    readable_ = false;
    return Io::kWouldBlock;
  }
  Break();
  return Io::kCut;
}

Transport::Io Transport::Handshake() {
  if (!tls_ || tls_->established()) {
    return Io::kOk;
  }
  while (true) {
    const TlsEngine::Io io = tls_->Handshake();
    tls_->Settle();
    if (!sealed_.empty()) {
      io_.loop.AtFlush(flush_);
    }
    if (io == TlsEngine::Io::kOk) {
      return Io::kOk;
    }
    if (io != TlsEngine::Io::kWantInput) {
      Flush();  // The alert; the owner closes next.
      return Io::kCut;
    }
    size_t got = 0;
    const Io received = Receive(io_.sealed_scratch(), got);
    if (received != Io::kOk) {
      return received == Io::kWouldBlock ? received : Io::kCut;
    }
    tls_->Feed({io_.sealed_scratch().data(), got});
  }
}

Transport::Io Transport::Read(std::span<char> into, size_t& got) {
  if (!fd_.valid()) {
    got = 0;
    return Io::kCut;
  }
  return tls_ ? ReadTls(into, got) : Receive(into, got);
}

Transport::Io Transport::ReadTls(std::span<char> into, size_t& got) {
  while (true) {
    const TlsEngine::Io io = tls_->Read(into, got);
    if (!sealed_.empty()) {
      io_.loop.AtFlush(flush_);  // An answer to a key update, or an alert.
    }
    if (io == TlsEngine::Io::kOk) {
      tls_->Settle();
      return Io::kOk;
    }
    if (io != TlsEngine::Io::kWantInput) {
      if (tls_->failure() == TlsFailure::kKeyUpdates) {
        io_.metrics.Reached(Limit::kKeyUpdates);
      }
      return io == TlsEngine::Io::kClosed ? Io::kEnd : Io::kCut;
    }
    tls_->Settle();
    size_t received = 0;
    const Io socket = Receive(io_.sealed_scratch(), received);
    if (socket != Io::kOk) {
      // RFC 8446 section 6.1: without close_notify the end may be an attacker's.
      return socket == Io::kWouldBlock ? socket : Io::kCut;
    }
    tls_->Feed({io_.sealed_scratch().data(), received});
  }
}

Transport::Io Transport::Drop() {
  Io io = Io::kOk;
  for (size_t dropped = 0; io == Io::kOk && dropped < io_.limits.turn_bytes_max;) {
    size_t got = 0;
    io = Receive(io_.sealed_scratch(), got);
    dropped += got;
  }
  return io;
}

void Transport::Write(std::string_view bytes) {
  if (broken_ || finish_ || bytes.empty()) {
    return;
  }
  const bool was_full = Full();
  out_.Append(bytes);
  if (Full() && !was_full) {
    io_.metrics.Reached(Limit::kOutBytes);
  }
  io_.loop.AtFlush(flush_);
}

void Transport::FinishWrites() {
  if (!finish_) {
    finish_ = true;
    io_.loop.AtFlush(flush_);
  }
}

void Transport::Close() {
  fd_.Reset();
  owner_ = nullptr;
  readable_ = writable_ = false;
  broken_ = true;
  out_.Clear();
  sealed_.Clear();
}

void Transport::OnTurn(Turn& which) {
  if (&which == &wake_) {
    if (owner_ != nullptr) {
      owner_->Advance();
    }
    return;
  }
  const bool was_full = Full();
  const bool was_crowded = Crowded();
  const bool was_broken = broken_;
  const bool was_finished = finished_;
  Flush();
  const bool changed = (was_full && !Full()) || (was_crowded && !Crowded()) ||
                       broken_ != was_broken || finished_ != was_finished;
  if (changed) {
    io_.loop.InTurn(wake_);
  }
}

void Transport::Flush() {
  if (!fd_.valid() || broken_ || finished_ || !connected_) {
    return;
  }
  while (writable_ && !broken_) {
    if (tls_ && !Seal()) {
      Break();
      return;
    }
    BlockChain& chain = tls_ ? sealed_ : out_;
    if (chain.empty()) {
      break;
    }
    if (!WriteOut(chain)) {
      return;
    }
  }
  if (finish_ && out_.empty() && sealed_.empty() && !broken_) {
    finished_ = true;
    shutdown(fd_.get(), SHUT_WR);
  }
}

// Seal turns what the owner wrote into records, a bounded amount ahead of the socket.
bool Transport::Seal() {
  if (!tls_->established()) {
    return true;
  }
  while (!out_.empty() && sealed_.size() < out_bytes_max_) {
    const std::string_view front = out_.Front();
    if (!tls_->Write(front)) {
      return false;
    }
    out_.Consume(front.size());
  }
  if (finish_ && out_.empty()) {
    tls_->SendCloseNotify();
  }
  return true;
}

bool Transport::WriteOut(BlockChain& chain) {
  std::array<iovec, 32> vectors;
  const size_t count = chain.Vectors(vectors);
  const size_t offered = chain.size();
  ssize_t sent = 0;
  msghdr message = {};
  message.msg_iov = vectors.data();
  message.msg_iovlen = count;
  do {
    sent = sendmsg(fd_.get(), &message, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent < 0) {
    if (errno == EAGAIN) {
      writable_ = false;
    } else {
      Break();
    }
    return false;
  }
  bytes_out_ += static_cast<uint64_t>(sent);
  chain.Consume(static_cast<size_t>(sent));
  if (static_cast<size_t>(sent) < offered && count < vectors.size()) {
    writable_ = false;  // The socket took what it could; EPOLLOUT tells when it takes more.
    return false;
  }
  return true;
}

void Transport::Break() {
  broken_ = true;
  out_.Clear();
  sealed_.Clear();
}

}  // namespace countersign::proxy
