#include "dataplane/secure/tls_layer.h"

#include <utility>

namespace millrace::secure {
namespace {

// A few for each stream that has something to send, allocated as they are needed.
constexpr std::size_t kInitialRecords = 64;
constexpr std::size_t kMostRecords = 1'000'000;

}  // namespace

TlsLayer::TlsLayer(stream::ChainPool& chains, TimerWheel& timers, tls::RecordEngine& engine, HandshakeRunner& runner,
                   std::size_t limit)
    : chains_(chains),
      timers_(timers),
      engine_(engine),
      runner_(runner),
      streams_(0, limit),
      records_(kInitialRecords, kMostRecords),
      works_at_once_(engine.works_at_once()) {}

TlsLayer::~TlsLayer() = default;

TlsStream* TlsLayer::accept(stream::ByteStream& transport, stream::Chain& received, std::shared_ptr<const tls::Context> context,
                            stream::ByteStreamEvents& events) {
  TlsStream* made = streams_.make(*this, events, TlsStream::Side::kServer, nullptr);
  if (made == nullptr) return nullptr;
  all_.push_back(*made);
  made->use(transport, std::move(context), {}, std::move(received));
  return made;
}

TlsStream* TlsLayer::connect(stream::Connector& connector, const SocketAddress& peer, std::shared_ptr<const tls::Context> context,
                             tls::HandshakeOptions options, SessionCache* sessions, stream::ByteStreamEvents& events,
                             stream::CloseReason& reason, Instant now) {
  if (context == nullptr) {
    reason = stream::CloseReason::kNotReady;
    return nullptr;
  }
  reason = stream::CloseReason::kNoMemory;
  if (sessions != nullptr) options.session = sessions->take();
  TlsStream* made = streams_.make(*this, events, TlsStream::Side::kClient, sessions);
  if (made == nullptr) return nullptr;
  stream::ByteStream* transport = connector.connect(peer, made->transport_events(), reason, now);
  if (transport == nullptr) {
    streams_.destroy(made);
    return nullptr;
  }
  all_.push_back(*made);
  made->use(*transport, std::move(context), std::move(options), stream::Chain(chains_));
  return made;
}

// What the engine does at once is handed back at once: its stream goes on where it is, without another look at it.
void TlsLayer::submit(PendingRecord& record, Instant now) {
  ++submitted_;
  if (!backlog_.empty() || !engine_.submit(record)) backlog_.push_back(&record);
  if (works_at_once_) collect(now);
}

// Those that are served once; who starves again waits for the next turn.
void TlsLayer::serve_starved(Instant now) {
  IntrusiveList<TlsStream, StarvedTag> starved;
  starved.splice_back(starved_);
  while (TlsStream* stream = starved.pop_front()) {
    if (!stream->try_unblock(now)) starved_.push_back(*stream);
  }
}

void TlsLayer::collect(Instant now) {
  while (!backlog_.empty() && engine_.submit(*backlog_.front())) backlog_.pop_front();
  while (tls::RecordJob* job = engine_.collect()) {
    --submitted_;
    auto& record = static_cast<PendingRecord&>(*job);
    record.owner.on_record_finished(record, now);
  }
}

void TlsLayer::start(TlsStream& stream, bool first) {
  (first ? queued_ : begun_).push_back(stream);
  start_queued();
}

void TlsLayer::discard(std::unique_ptr<HandshakeStep> step) {
  if (step == nullptr || step->handshake == nullptr) return;
  step->discarded = true;
  step->stream = nullptr;
  discarded_.push_back(std::move(step));
  start_queued();
}

void TlsLayer::start_queued() {
  while (steps_running_ < kMostSteps && !discarded_.empty()) {
    ++steps_running_;
    runner_.start(std::move(discarded_.front()));
    discarded_.pop_front();
  }
  while (steps_running_ < kMostSteps && !(begun_.empty() && queued_.empty())) {
    ++steps_running_;
    ++counters_.handshake_steps;
    runner_.start((begun_.empty() ? queued_ : begun_).pop_front()->take_step());
  }
}

void TlsLayer::serve(Instant now) {
  serve_starved(now);
  while (std::unique_ptr<HandshakeStep> step = runner_.finished()) {
    --steps_running_;
    if (TlsStream* stream = step->stream) {
      stream->on_handshake_step(std::move(step), now);
    } else if (!step->discarded) {
      discard(std::move(step));
    }
  }
  start_queued();
  do {
    IntrusiveList<TlsStream, WokenTag> serviced;
    serviced.splice_back(woken_);
    while (TlsStream* stream = serviced.pop_front()) {
      stream->service(now);
      if (!stream->is_dead()) continue;
      static_cast<ListNode<WokenTag>&>(*stream).unlink();
      dead_.push_back(*stream);
    }
    collect(now);
  } while (!woken_.empty());
  while (TlsStream* stream = dead_.pop_front()) streams_.destroy(stream);
}

void TlsLayer::reset_all(Instant now) {
  for (TlsStream& stream : all_) stream.reset(now);
  while (streams_.in_use() > 0) service(now);
}

}  // namespace millrace::secure
