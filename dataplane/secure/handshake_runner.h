// Who runs handshakes: they cost up to milliseconds each, a turn has microseconds. A step is what one flight of the peer's asks
// for.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "tls/handshake.h"

namespace millrace::secure {

class TlsStream;

/// A handshake and what it goes on with. Belongs to its stream, or to the runner while it runs: then nobody else touches it, but
/// for `stream`, which is the worker's alone.
/// What run() has made it takes back with clear(), where it was made: a worker that frees another thread's memory may have to
/// wait for that thread, which may have lost its CPU.
struct HandshakeStep {
  /// What it is made of.
  std::shared_ptr<const tls::Context> context;
  tls::HandshakeOptions options;

  /// For run().
  std::vector<std::uint8_t> input;
  bool ended = false;             ///< the transport brings nothing more
  bool discarded = false;         ///< of no use any more: to be cleared instead
  TlsStream* stream = nullptr;    ///< null: gone meanwhile
  std::atomic<bool> gone{false};  ///< likewise, for other threads: nobody wants what it would come to

  /// What run() makes.
  tls::Handshake::Status status = tls::Handshake::Status::kNeedMore;
  std::unique_ptr<tls::Handshake> handshake;
  std::vector<std::uint8_t> output;  ///< for the transport
  tls::Established established;      ///< with kDone
  tls::HandshakeFailure failure;     ///< with kFailed

  /// Goes on, or ends it. On the runner's thread.
  void run() {
    if (discarded) return clear();
    if (gone.load(std::memory_order_relaxed)) return;
    // Not before: OpenSSL's object takes time to make, and memory, which whoever has not said hello yet should not have of us.
    if (handshake == nullptr) handshake = tls::Handshake::make(context, options);
    if (handshake == nullptr) return fail();
    status = handshake->run(input, ended);
    output = handshake->take_output();
    if (status == tls::Handshake::Status::kDone) established = handshake->take_established();
    if (status == tls::Handshake::Status::kFailed) failure = handshake->failure();
  }
  void fail() {
    status = tls::Handshake::Status::kFailed;
    failure = {.reason = tls::HandshakeFailure::Reason::kInternal,
               .alert = {},
               .text = "no session can be made: no memory, or a protocol that ALPN cannot carry"};
  }
  void clear() {
    handshake.reset();
    output = {};
    established = {};
    failure = {};
  }
};

class HandshakeRunner {
 public:
  virtual ~HandshakeRunner() = default;
  /// Takes a step to be run.
  virtual void start(std::unique_ptr<HandshakeStep> step) = 0;
  /// One that has run; null: none, for now. Called until it is null, once a turn.
  [[nodiscard]] virtual std::unique_ptr<HandshakeStep> finished() = 0;
  /// They are run by finished() itself: whoever waits for them has to call it.
  [[nodiscard]] virtual bool runs_here() const = 0;
};

/// Runs them on the worker itself, one at each look for those that have finished, so that what is established does not wait for
/// long.
class InlineHandshakeRunner final : public HandshakeRunner {
 public:
  void start(std::unique_ptr<HandshakeStep> step) override { waiting_.push_back(std::move(step)); }
  [[nodiscard]] std::unique_ptr<HandshakeStep> finished() override {
    if (std::exchange(ran_, !ran_ && !waiting_.empty()) || waiting_.empty()) return nullptr;
    std::unique_ptr<HandshakeStep> step = std::move(waiting_.front());
    waiting_.pop_front();
    if (step->stream == nullptr) ran_ = false;  // its stream is gone: it costs nothing
    step->run();
    return step;
  }
  [[nodiscard]] std::size_t waiting() const { return waiting_.size(); }
  [[nodiscard]] bool runs_here() const override { return true; }

 private:
  std::deque<std::unique_ptr<HandshakeStep>> waiting_;
  bool ran_ = false;  // one was handed back, and the caller looks again
};

}  // namespace millrace::secure
