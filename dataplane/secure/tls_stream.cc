#include "dataplane/secure/tls_stream.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "dataplane/secure/tls_layer.h"

namespace millrace::secure {
namespace {

using stream::CloseReason;
using tls::Alert;
using tls::ContentType;

constexpr std::uint8_t kWarning = 1;
constexpr std::uint8_t kFatal = 2;

// Handshake messages after the handshake (RFC 8446 4, RFC 5246 7.4).
constexpr std::uint8_t kHelloRequest = 0;
constexpr std::uint8_t kClientHello = 1;
constexpr std::uint8_t kNewSessionTicket = 4;
constexpr std::uint8_t kKeyUpdate = 24;
constexpr std::size_t kMessageHeaderBytes = 4;
constexpr std::size_t kMostMessageBytes = 64 * 1024;

// What costs us and brings nothing is not taken without end: empty records, warnings, key updates.
constexpr std::uint32_t kMostIdleRecords = 32;
constexpr std::uint32_t kMostRenegotiations = 3;

// Ciphertext that may wait for the rest of its record, or for a handshake that is running.
constexpr std::size_t kMostCipherBytes = 64 * 1024;
constexpr std::size_t kMostHandshakeBytes = 16 * 1024;

// After so long a user is told of any credit.
constexpr Duration kMostStarving = Duration::milliseconds(10);

void copy_all(const stream::Chain& from, std::vector<std::uint8_t>& to) {
  from.for_each([&](std::span<const std::uint8_t> part) { to.insert(to.end(), part.begin(), part.end()); });
}

// Reasons that are told only when everything was read.
bool is_orderly(CloseReason reason) { return reason == CloseReason::kGraceful || reason == CloseReason::kTruncated; }

}  // namespace

TlsStream::TlsStream(TlsLayer& layer, stream::ByteStreamEvents& events, Side side, SessionCache* sessions)
    : layer_(layer),
      events_(&events),
      sessions_(sessions),
      cipher_in_(layer.chains_),
      plain_in_(layer.chains_),
      plain_out_(layer.chains_),
      cipher_out_(layer.chains_),
      timer_(Timer::calling<&TlsStream::on_timer>(*this)),
      client_(side == Side::kClient) {}

TlsStream::~TlsStream() {
  if (running_ != nullptr) {
    running_->stream = nullptr;
    running_->gone.store(true, std::memory_order_relaxed);
  }
  while (PendingRecord* record = sealing_.pop_front()) layer_.records_.destroy(record);
  layer_.discard(std::move(for_tickets_));
  layer_.discard(std::move(step_));
  layer_.library_objects_ -= library_objects_;
}

void TlsStream::use(stream::ByteStream& transport, std::shared_ptr<const tls::Context> context, tls::HandshakeOptions options,
                    stream::Chain received) {
  transport_ = &transport;
  if (!client_) transport.set_events(*this);  // who opens one has told it whom to tell
  local_ = transport.local_address();
  peer_ = transport.peer_address();
  step_ = std::make_unique<HandshakeStep>();
  step_->context = std::move(context);
  step_->options = std::move(options);
  step_->stream = this;
  cipher_in_.append(std::move(received));
  if (!client_) state_ = State::kHandshake;
  wake();
}

// ---- what the user calls -----------------------------------------------------------------------------------------------------

std::size_t TlsStream::read(stream::Chain& to, std::size_t limit, Instant) {
  const std::size_t before = plain_in_.size();
  if (is_full() || close_reason_) wake();  // there is room for more, or nothing left before the end
  static_cast<void>(plain_in_.move_prefix(std::min(limit, before), to));  // without a node less is moved
  return before - plain_in_.size();
}

std::size_t TlsStream::write_credit() const {
  if (state_ != State::kOpen || output_ended_ || transport_ == nullptr) return 0;
  const std::size_t below = transport_->write_credit();
  const std::size_t queued = plain_out_.size() + sealing_bytes_ + cipher_out_.size();
  return below - std::min(below, queued);
}

std::size_t TlsStream::write(stream::Chain& from, Instant) {
  const std::size_t credit = write_credit();
  most_credit_ = std::max(most_credit_, credit);
  const std::size_t before = plain_out_.size();
  static_cast<void>(from.move_prefix(std::min(credit, from.size()), plain_out_));
  if (!from.empty()) blocked_ = true;
  wake();
  return plain_out_.size() - before;
}

void TlsStream::shutdown_write(Instant) {
  output_ended_ = true;
  wake();
}

void TlsStream::close(Instant now) {
  events_ = nullptr;
  sessions_ = nullptr;
  plain_in_.clear();
  wake();
  if (state_ == State::kTransport || state_ == State::kHandshake) {
    state_ = State::kClosed;
    if (transport_ != nullptr) std::exchange(transport_, nullptr)->close(now);
  } else if (state_ == State::kOpen) {
    output_ended_ = true;
    state_ = State::kEnding;
    layer_.timers_.arm(timer_, now + kFlushTimeout);
  }
}

void TlsStream::reset(Instant now) {
  events_ = nullptr;
  sessions_ = nullptr;
  state_ = State::kClosed;
  if (transport_ != nullptr) std::exchange(transport_, nullptr)->reset(now);
  wake();
}

void TlsStream::set_keep_alive(const KeepAlive& keep_alive, Instant now) {
  if (transport_ != nullptr) transport_->set_keep_alive(keep_alive, now);
}

// ---- what the transport tells ------------------------------------------------------------------------------------------------

void TlsStream::on_connected(stream::ByteStream& transport, Instant) {
  local_ = transport.local_address();
  peer_ = transport.peer_address();
  state_ = State::kHandshake;
  wake();
}

// Reads at once, so that what came before a reset is not lost with it.
void TlsStream::on_readable(stream::ByteStream&, Instant now) {
  static_cast<void>(fetch(now));
  wake();
}
void TlsStream::on_writable(stream::ByteStream&, Instant) { wake(); }

void TlsStream::on_closed(stream::ByteStream&, CloseReason reason, Instant) {
  transport_ = nullptr;
  wake();
  transport_ended_ = true;  // what it brought may still wait to be opened
  if (reason == CloseReason::kGraceful) return;
  lost_ = reason;
  if (state_ != State::kOpen) end(reason);
}

void TlsStream::wake() {
  if (!static_cast<ListNode<WokenTag>&>(*this).is_linked()) layer_.woken_.push_back(*this);
}

// ---- service -----------------------------------------------------------------------------------------------------------------

void TlsStream::service(Instant now) {
  const bool more = fetch(now);
  if (state_ == State::kHandshake) advance_handshake(now);
  if (state_ == State::kOpen) library_ != nullptr ? open_with_library(now) : open_all(now);
  if (state_ == State::kOpen || state_ == State::kEnding) library_ != nullptr ? seal_with_library() : seal_all(now);
  collect_sealed();
  write_out(now);
  if (more && cipher_in_.charge() < most_cipher_charge()) wake();
  deliver(now);
  count_library_objects();
}

bool TlsStream::is_dead() const { return events_ == nullptr && transport_ == nullptr && sealing_.empty() && !opening_; }

// Buffers that ciphertext may pin.
std::size_t TlsStream::most_cipher_charge() const {
  return 2 * (state_ == State::kOpen ? kMostCipherBytes : kMostHandshakeBytes);
}

// Ciphertext in. When nobody will look at it any more it is thrown away, so that the peer does not wait for us. Whether there is
// more than it may pin.
bool TlsStream::fetch(Instant now) {
  const std::size_t most = most_cipher_charge();
  if (state_ == State::kEnding) cipher_in_.clear();
  while (transport_ != nullptr && transport_->readable() > 0 && !is_full()) {
    if (cipher_in_.charge() >= most) return true;
    if (transport_->read(cipher_in_, most / 2, now) == 0) {
      starve(now);  // without memory
      break;
    }
    if (state_ == State::kEnding) cipher_in_.clear();
  }
  if (transport_ != nullptr && transport_->read_ended()) transport_ended_ = true;
  return false;
}

void TlsStream::advance_handshake(Instant) {
  if (step_ == nullptr || static_cast<ListNode<QueuedTag>&>(*this).is_linked()) return;  // it runs, or will
  const bool begins = client_ && !begun_;
  if (!begins && cipher_in_.empty() && !transport_ended_) return;
  if (!client_ && step_->handshake == nullptr && !transport_ended_ && lacks_hello()) return;
  begun_ = true;
  step_->input.clear();
  copy_all(cipher_in_, step_->input);
  cipher_in_.clear();
  step_->ended = transport_ended_;
  layer_.start(*this, step_->handshake == nullptr);
}

// The first record is there in part alone: for that nobody gets an object of OpenSSL's.
bool TlsStream::lacks_hello() {
  std::array<std::uint8_t, tls::kRecordHeaderBytes> raw{};
  const bool has_header = cipher_in_.copy_out(0, raw) == raw.size();
  if (raw[0] != static_cast<std::uint8_t>(ContentType::kHandshake)) return false;  // OpenSSL says what is wrong with it
  const std::size_t length = static_cast<std::size_t>(raw[3]) << 8 | raw[4];
  if (has_header && (length > tls::kMostPlaintextBytes || cipher_in_.size() >= raw.size() + length)) return false;
  if (!compact_cipher()) ++layer_.counters_.no_memory;
  return true;
}

// The buffers of a record in very small segments must not use up what it may wait in. False: no memory.
bool TlsStream::compact_cipher() {
  const bool wasteful = cipher_in_.charge() >= most_cipher_charge() / 2 && cipher_in_.charge() > cipher_in_.size() * 3 / 2;
  return !wasteful || put_together(cipher_in_);
}

std::unique_ptr<HandshakeStep> TlsStream::take_step() {
  running_ = step_.get();
  return std::move(step_);
}

void TlsStream::on_handshake_step(std::unique_ptr<HandshakeStep> step, Instant now) {
  running_ = nullptr;
  wake();
  if (state_ != State::kHandshake) return layer_.discard(std::move(step));  // it has ended meanwhile
  if (!cipher_out_.append_copy(step->output)) {
    ++layer_.counters_.no_memory;
    layer_.discard(std::move(step));
    return end(CloseReason::kNoMemory);
  }
  switch (step->status) {
    case tls::Handshake::Status::kNeedMore: step_ = std::move(step); return;
    case tls::Handshake::Status::kDone: return establish(std::move(step));
    case tls::Handshake::Status::kFailed:
      handshake_failure_ = std::make_unique<tls::HandshakeFailure>(step->failure);
      ++layer_.counters_.handshakes_failed;
      if (handshake_failure_->alert) {
        const auto number = static_cast<std::size_t>(*handshake_failure_->alert);
        const bool received = handshake_failure_->reason == tls::HandshakeFailure::Reason::kPeerAlert;
        ++(received ? layer_.counters_.alerts_received : layer_.counters_.alerts_sent)[number];
      }
      layer_.discard(std::move(step));
      return give_up(CloseReason::kTlsFailure, now);
  }
}

void TlsStream::establish(std::unique_ptr<HandshakeStep> step) {
  tls::Established& made = step->established;
  facts_ = std::make_shared<tls::SessionFacts>(*made.facts);  // in our own memory, as all that is left of the step
  ++layer_.counters_.handshakes;
  layer_.counters_.handshakes_resumed += facts_->resumed ? 1 : 0;
  stream::Chain unread(layer_.chains_);
  bool good = unread.append_copy(made.unread);
  unread.append(std::move(cipher_in_));
  cipher_in_ = std::move(unread);
  if (made.suite == nullptr) {
    library_ = std::move(made.library);
  } else {
    sealer_.emplace(layer_.engine_, *made.suite, made.send, made.send_sequence, made.explicit_nonce);
    opener_.emplace(layer_.engine_, *made.suite, made.receive, made.receive_sequence);
    send_secret_ = made.send_secret;
    receive_secret_ = made.receive_secret;
    made.send = made.receive = {};  // the step may lie somewhere for a while
    made.send_secret = made.receive_secret = {};
    good = good && sealer_->valid() && opener_->valid();
  }
  if (!good) {
    ++layer_.counters_.no_memory;
    layer_.discard(std::move(step));
    return end(CloseReason::kNoMemory);
  }
  state_ = State::kOpen;
  tell_connected_ = true;
  most_credit_ = write_credit();
  if (client_) {
    keep_sessions(step->handshake->take_sessions());
    // Tickets of TLS 1.3 come later, and only OpenSSL knows the key that they stand for.
    if (sealer_ && facts_->version == tls::Version::kTls13 && sessions_ != nullptr) for_tickets_ = std::move(step);
  }
  layer_.discard(std::move(step));
}

void TlsStream::keep_sessions(std::vector<std::shared_ptr<tls::ClientSession>> sessions) {
  for (auto& session : sessions) {
    ++layer_.counters_.tickets_stored;
    if (sessions_ != nullptr) sessions_->put(std::move(session));
  }
}

// ---- in ----------------------------------------------------------------------------------------------------------------------

// One record at a time: behind a key update the next one is under another key, which only its text can tell.
void TlsStream::open_all(Instant now) {
  while (state_ == State::kOpen && !opening_ && !input_ended_ && open_next(now)) continue;
}

// Whether a record went to the engine.
bool TlsStream::open_next(Instant now) {
  if (is_full()) {
    if (lost_) end(*lost_);  // what nobody reads is lost with it
    return false;
  }
  std::array<std::uint8_t, tls::kRecordHeaderBytes> raw{};
  const std::size_t size = cipher_in_.copy_out(0, raw) < raw.size() ? raw.size() : raw.size() + (raw[3] << 8 | raw[4]);
  if (cipher_in_.size() < size && size <= tls::kMostPlaintextBytes + tls::kMostExpansionBytes + raw.size()) {
    wait_for_rest(now);
    return false;
  }
  if (opener_->exhausted()) {
    fail(Alert::kInternalError, now);
    return false;
  }
  PendingRecord* record = layer_.records_.make(*this, layer_.chains_);
  if (record == nullptr) {
    on_no_memory(now);
    return false;
  }
  raw_record_.clear();
  if (for_tickets_ != nullptr) {
    raw_record_.resize(std::min(size, cipher_in_.size()));
    cipher_in_.copy_out(0, raw_record_);
  }
  const auto taken = prepare_open(*opener_, cipher_in_, *record);
  if (taken && *taken == Taken::kRecord) {
    opening_ = true;
    layer_.submit(*record, now);
    return true;
  }
  layer_.records_.destroy(record);
  taken ? on_no_memory(now) : fail(taken.error(), now);
  return false;
}

void TlsStream::wait_for_rest(Instant now) {
  if (transport_ended_) return on_truncated(now);
  if (!compact_cipher()) return on_no_memory(now);  // service() reads on where there is room again
}

void TlsStream::on_record_finished(PendingRecord& record, Instant now) {
  if (!layer_.works_at_once_) wake();
  if (record.seals) {
    record.finished = true;  // in the order of their numbers: collect_sealed()
    return;
  }
  opening_ = false;
  if (state_ == State::kOpen) take_content(record, now);
  layer_.records_.destroy(&record);
}

void TlsStream::take_content(PendingRecord& record, Instant now) {
  if (!record.good) {
    ++layer_.counters_.bad_record;
    return fail(Alert::kBadRecordMac, now);
  }
  const auto content = opener_->content_of(record.header, record.text);
  if (!content) return fail(content.error(), now);
  ++layer_.counters_.records_opened;
  layer_.counters_.bytes_opened += content->size;
  const bool brings_data = content->type == ContentType::kApplicationData && content->size > 0;
  idle_records_ = brings_data ? 0 : idle_records_ + 1;
  if (idle_records_ > kMostIdleRecords) return fail(Alert::kUnexpectedMessage, now);
  switch (content->type) {
    case ContentType::kApplicationData:
      layer_.discard(std::move(for_tickets_));
      if (content->size == 0) return;
      if (!take_text(record.bytes, content->size)) return on_no_memory(now);
      tell_readable_ = true;
      return;
    case ContentType::kAlert: {
      std::array<std::uint8_t, 2> alert{};
      if (content->size != alert.size()) return fail(Alert::kDecodeError, now);
      record.bytes.copy_out(0, alert);
      return take_alert(alert[0], alert[1], now);
    }
    case ContentType::kHandshake: {
      if (content->size == 0) break;  // RFC 8446 5.1
      const std::size_t before = message_.size();
      message_.resize(before + content->size);
      record.bytes.copy_out(0, std::span(message_).subspan(before));
      return take_handshake_messages(now);
    }
    case ContentType::kChangeCipherSpec: break;
  }
  fail(Alert::kUnexpectedMessage, now);
}

// Small texts are copied behind one another where there is room: each would pin a buffer otherwise.
bool TlsStream::take_text(stream::Chain& text, std::size_t size) {
  if (size > stream::Chain::kCompactBytes) return text.move_prefix(size, plain_in_);
  while (size > 0) {
    const std::size_t part = std::min(size, text.front().size());
    if (!plain_in_.append(text.front_slice(part))) return false;
    text.remove_prefix(part);
    size -= part;
  }
  return true;
}

void TlsStream::take_alert(std::uint8_t level, std::uint8_t number, Instant now) {
  ++layer_.counters_.alerts_received[number];
  const Alert alert{number};
  if (alert == Alert::kCloseNotify) {
    input_ended_ = true;
    tell_readable_ = true;
    cipher_in_.clear();
    return;
  }
  const bool tls13 = facts_->version == tls::Version::kTls13;
  if (alert == Alert::kUserCanceled || (!tls13 && level == kWarning)) return;
  // A server of TLS 1.3 looks at a client's certificate when the client is done already.
  handshake_failure_ = std::make_unique<tls::HandshakeFailure>(tls::HandshakeFailure::Reason::kPeerAlert, alert,
                                                               "the peer sent alert " + std::string(tls::to_text(alert)));
  give_up(CloseReason::kTlsFailure, now);
}

void TlsStream::take_handshake_messages(Instant now) {
  if (for_tickets_ != nullptr) {
    if (message_.front() == kNewSessionTicket) {
      for_tickets_->handshake->feed_ticket(raw_record_);
      keep_sessions(for_tickets_->handshake->take_sessions());
    } else {
      layer_.discard(std::move(for_tickets_));
    }
  }
  std::span<const std::uint8_t> rest(message_);
  while (state_ == State::kOpen && rest.size() >= kMessageHeaderBytes) {
    const std::size_t size = kMessageHeaderBytes + (static_cast<std::size_t>(rest[1]) << 16 | rest[2] << 8 | rest[3]);
    if (size > kMostMessageBytes) return fail(Alert::kDecodeError, now);
    if (rest.size() < size) break;
    take_handshake_message(rest.first(size), rest.size() == size, now);
    rest = rest.subspan(size);
  }
  message_.erase(message_.begin(), message_.end() - static_cast<std::ptrdiff_t>(rest.size()));
}

// `last`: nothing follows in its record.
void TlsStream::take_handshake_message(std::span<const std::uint8_t> message, bool last, Instant now) {
  const std::uint8_t type = message[0];
  if (facts_->version == tls::Version::kTls13) {
    if (type == kNewSessionTicket && client_) {
      idle_records_ = 0;  // as many as the server likes
      if (for_tickets_ == nullptr) ++layer_.counters_.tickets_skipped;
      return;
    }
    if (type == kKeyUpdate && last && message.size() == kMessageHeaderBytes + 1 && message[kMessageHeaderBytes] <= 1) {
      return on_key_update(message[kMessageHeaderBytes] == 1, now);
    }
    return fail(Alert::kUnexpectedMessage, now);
  }
  if (type != (client_ ? kHelloRequest : kClientHello)) {
    return fail(Alert::kUnexpectedMessage, now);
  }
  ++layer_.counters_.renegotiations_refused;
  if (++renegotiations_ > kMostRenegotiations) {
    return fail(Alert::kUnexpectedMessage, now);
  }
  send_alert(kWarning, Alert::kNoRenegotiation);
}

// RFC 8446 4.6.3.
void TlsStream::on_key_update(bool requested, Instant now) {
  ++layer_.counters_.key_updates_received;
  receive_secret_ = tls::next_traffic_secret(opener_->suite(), receive_secret_.bytes());
  if (!opener_->change_keys(layer_.engine_, tls::traffic_keys(opener_->suite(), receive_secret_.bytes()))) {
    return on_no_memory(now);
  }
  if (requested) update_wanted_ = true;
}

void TlsStream::open_with_library(Instant now) {
  if (input_ended_) return cipher_in_.clear();  // nobody would take it out of the library again
  cipher_in_.for_each([&](std::span<const std::uint8_t> part) { library_->feed(part); });
  cipher_in_.clear();
  std::array<std::uint8_t, 16 * 1024> text;
  while (!is_full()) {
    const std::size_t size = library_->read(text);
    if (size == 0) break;
    if (!plain_in_.append_copy(std::span<const std::uint8_t>(text).first(size))) return on_no_memory(now);
    layer_.counters_.library_bytes_opened += size;
    tell_readable_ = true;
  }
  tls::wipe(text);
  if (client_) keep_sessions(library_->take_sessions());
  if (library_->failure()) return give_up(CloseReason::kTlsFailure, now);
  if (library_->peer_closed()) {
    if (!std::exchange(input_ended_, true)) tell_readable_ = true;
  } else if (transport_ended_ && (lost_ || !is_full())) {
    on_truncated(now);
  }
}

// ---- out ---------------------------------------------------------------------------------------------------------------------

void TlsStream::seal_all(Instant now) {
  if (!sealer_ || !change_send_keys(now)) return;
  while (!plain_out_.empty()) {
    if (sealer_->exhausted()) return end(CloseReason::kTlsFailure);
    const std::size_t text = record_text(plain_out_, sizer_.most_text(now));
    if (!submit_seal(ContentType::kApplicationData, plain_out_, text, now)) return starve(now);
    sizer_.sent(text, now);
  }
  if (output_ended_ && !notify_sent_ && !failed_) {
    notify_sent_ = true;
    send_alert(kWarning, Alert::kCloseNotify);
  }
  if (!alert_.empty() && submit_control(ContentType::kAlert, alert_, now)) {
    alert_.clear();
  } else if (!alert_.empty()) {
    starve(now);
  }
}

// When the peer or the limits of the key want another one. False: what was sealed with the old one is still under way.
bool TlsStream::change_send_keys(Instant now) {
  // Behind close_notify nothing may be sent (RFC 8446 6.1).
  if (facts_->version != tls::Version::kTls13 || (notify_sent_ && !update_sent_)) return true;
  if (!update_sent_) {
    if (!update_wanted_ && !sealer_->wants_new_key()) return true;
    const std::array<std::uint8_t, 5> message = {kKeyUpdate, 0, 0, 1, 0};  // and does not ask for the peer's
    if (!submit_control(ContentType::kHandshake, message, now)) {
      starve(now);
      return false;
    }
    update_sent_ = true;
  }
  collect_sealed();
  if (!sealing_.empty()) return false;
  ++layer_.counters_.key_updates_sent;
  update_sent_ = update_wanted_ = false;
  send_secret_ = tls::next_traffic_secret(sealer_->suite(), send_secret_.bytes());
  if (sealer_->change_keys(layer_.engine_, tls::traffic_keys(sealer_->suite(), send_secret_.bytes()))) return true;
  on_no_memory(now);
  return false;
}

bool TlsStream::submit_seal(ContentType type, stream::Chain& plain, std::size_t text, Instant now) {
  PendingRecord* record = layer_.records_.make(*this, layer_.chains_);
  if (record == nullptr) return false;
  if (!prepare_seal(*sealer_, type, plain, text, *record)) {
    layer_.records_.destroy(record);
    return false;
  }
  ++layer_.counters_.records_sealed;
  layer_.counters_.bytes_sealed += text;
  sealing_bytes_ += record->bytes.size();
  sealing_.push_back(*record);
  layer_.submit(*record, now);
  return true;
}

bool TlsStream::submit_control(ContentType type, std::span<const std::uint8_t> text, Instant now) {
  stream::Chain chain(layer_.chains_);
  return !sealer_->exhausted() && chain.append_copy(text) && submit_seal(type, chain, text.size(), now);
}

// Behind what is to be sealed before it.
void TlsStream::send_alert(std::uint8_t level, Alert alert) {
  if (notify_sent_ && alert != Alert::kCloseNotify) return;
  ++layer_.counters_.alerts_sent[static_cast<std::size_t>(alert)];
  alert_ = {level, static_cast<std::uint8_t>(alert)};
}

void TlsStream::collect_sealed() {
  while (!sealing_.empty() && sealing_.front().finished) {
    PendingRecord& record = *sealing_.pop_front();
    sealing_bytes_ -= record.bytes.size();
    if (record.good) {
      std::memcpy(record.tag_in_record, record.tag.data(), record.tag.size());
      cipher_out_.append(std::move(record.bytes));
    } else {
      ++layer_.counters_.no_memory;
      end(CloseReason::kNoMemory);  // an engine that cannot seal what it has taken has lost our plain text
    }
    layer_.records_.destroy(&record);
  }
}

void TlsStream::seal_with_library() {
  plain_out_.for_each([&](std::span<const std::uint8_t> part) { library_->write(part); });
  layer_.counters_.library_bytes_sealed += plain_out_.size();
  plain_out_.clear();
  if (output_ended_ && !notify_sent_ && !failed_) {
    notify_sent_ = true;
    library_->close();
  }
  if (!cipher_out_.append_copy(library_->take_output())) {
    ++layer_.counters_.no_memory;
    end(CloseReason::kNoMemory);
  }
}

void TlsStream::write_out(Instant now) {
  if (transport_ == nullptr) {
    // Both sides have ended, and everything that came is opened.
    if (state_ == State::kOpen && input_ended_) end(lost_.value_or(CloseReason::kGraceful));
    if (state_ == State::kEnding) state_ = State::kClosed;
    return;
  }
  if (!cipher_out_.empty() && state_ != State::kTransport && transport_->write(cipher_out_, now) > 0 &&
      state_ == State::kEnding) {
    layer_.timers_.arm(timer_, now + kFlushTimeout);
  }
  if (!cipher_out_.empty() || !sealing_.empty() || !plain_out_.empty() || !alert_.empty()) return;
  if (state_ == State::kEnding) {
    state_ = State::kClosed;
    timer_.disarm();
    std::exchange(transport_, nullptr)->close(now);
  } else if (notify_sent_ && !output_shut_) {
    output_shut_ = true;
    transport_->shutdown_write(now);
  }
}

// ---- ends --------------------------------------------------------------------------------------------------------------------

void TlsStream::on_truncated(Instant now) {
  if (lost_) return end(*lost_);
  ++layer_.counters_.truncated;
  cipher_in_.clear();
  give_up(CloseReason::kTruncated, now);
}

void TlsStream::on_no_memory(Instant now) {
  ++layer_.counters_.no_memory;
  give_up(CloseReason::kNoMemory, now);
}

void TlsStream::fail(Alert alert, Instant now) {
  send_alert(kFatal, alert);
  give_up(CloseReason::kTlsFailure, now);
}

// The session is over; what is sealed still goes out.
void TlsStream::give_up(CloseReason reason, Instant now) {
  if (state_ == State::kEnding || state_ == State::kClosed) return;
  failed_ = true;
  plain_out_.clear();
  close_reason_ = reason;
  state_ = State::kEnding;
  layer_.timers_.arm(timer_, now + kFlushTimeout);
}

// The transport is gone, or of no use any more.
void TlsStream::end(CloseReason reason) {
  if (!close_reason_) close_reason_ = reason;
  state_ = State::kClosed;
  timer_.disarm();
}

void TlsStream::on_timer(Instant now) {
  state_ = State::kClosed;
  if (transport_ != nullptr) std::exchange(transport_, nullptr)->reset(now);
  wake();
}

// The user waits for credit, or we for memory, and no event of the transport will tell.
void TlsStream::starve(Instant now) {
  ListNode<StarvedTag>& node = *this;
  if (node.is_linked()) return;
  if (starved_since_.is_never()) starved_since_ = now;
  layer_.starved_.push_back(*this);
}

bool TlsStream::try_unblock(Instant now) {
  if (state_ == State::kClosed) return true;
  const bool waits_for_credit = blocked_ && plain_out_.empty() && alert_.empty() && !output_ended_;
  if (waits_for_credit && !has_credit(now) && (transport_ == nullptr || transport_->readable() == 0)) return false;
  wake();
  return true;
}

// Enough to tell the user: half of what there was at the most; or any, after a while, since the transport's buffer may have
// become smaller.
bool TlsStream::has_credit(Instant now) const {
  const std::size_t credit = write_credit();
  const bool starving = !starved_since_.is_never() && now - starved_since_ >= kMostStarving;
  return credit > 0 && (credit * 2 >= most_credit_ || starving);
}

void TlsStream::deliver(Instant now) {
  if (events_ != nullptr && std::exchange(tell_connected_, false)) events_->on_connected(*this, now);
  if (events_ != nullptr && std::exchange(tell_readable_, false)) events_->on_readable(*this, now);
  if (!blocked_) starved_since_ = Instant::never();
  if (events_ != nullptr && blocked_ && state_ == State::kOpen && !output_ended_) {
    if (has_credit(now)) {
      blocked_ = false;
      events_->on_writable(*this, now);
    } else if (cipher_out_.empty()) {
      starve(now);
    }
  }
  if (events_ != nullptr && close_reason_ && (plain_in_.empty() || !is_orderly(*close_reason_))) {
    sessions_ = nullptr;
    std::exchange(events_, nullptr)->on_closed(*this, *close_reason_, now);
    plain_in_.clear();
  }
  if (state_ == State::kClosed && transport_ != nullptr) std::exchange(transport_, nullptr)->reset(now);
}

void TlsStream::count_library_objects() {
  const std::int64_t objects = ((step_ != nullptr && step_->handshake != nullptr) || running_ != nullptr) +
                               (for_tickets_ != nullptr) + (library_ != nullptr);
  layer_.library_objects_ += objects - library_objects_;
  library_objects_ = objects;
}

}  // namespace millrace::secure
