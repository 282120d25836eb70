#include "tests/simulation/stream_program.h"

#include <algorithm>

#include "dataplane/base/assert.h"
#include "tests/simulation/pattern.h"

namespace millrace::sim {
namespace {

constexpr std::size_t kHeaderBytes = 8;
constexpr Duration kRetryWithoutBuffers = Duration::milliseconds(20);

const char* side_name(std::size_t side) { return side == 0 ? "client" : "server"; }

std::uint64_t key_of(const StreamTable::Row& row, std::size_t writer) { return mix(row.plan.number * 2 + writer + 1); }

}  // namespace

bool StreamTable::over() const {
  return std::ranges::all_of(rows,
                             [](const Row& row) { return row.state[0].over && (row.state[1].over || !row.state[1].existed); });
}

void StreamTable::judge() {
  for (const Row& row : rows) {
    for (std::size_t side = 0; side < 2; ++side) {
      const EndState& end = row.state[side];
      const EndState& peer = row.state[1 - side];
      const std::string who = "connection " + std::to_string(row.plan.number) + ", " + side_name(side) + ": ";
      if ((side == 0 || end.existed) && !end.over) findings.add(who + "never ended");
      const bool peer_was_told = may_break && peer.closed && *peer.closed != stream::CloseReason::kGraceful;
      const bool graceful = end.closed == stream::CloseReason::kGraceful;
      if (graceful && !peer.gave_up && !peer_was_told && peer.received != end.written) {
        findings.add(who + "told of a graceful end, but " + std::to_string(peer.received) + " of " + std::to_string(end.written) +
                     " bytes were read");
      }
    }
  }
}

StreamEnd::StreamEnd(StreamProgram& program, bool server)
    : program_(program),
      side_(server ? 1 : 0),
      rest_(program.host().chains()),
      header_(program.host().chains()),
      read_timer_(Timer::calling<&StreamEnd::on_read_timer>(*this)),
      write_timer_(Timer::calling<&StreamEnd::on_write_timer>(*this)),
      patience_timer_(Timer::calling<&StreamEnd::on_patience_timer>(*this)) {}

const EndPlan& StreamEnd::plan() const { return row_->plan.end[side_]; }
EndState& StreamEnd::state() { return row_->state[side_]; }
EndState& StreamEnd::other() { return row_->state[1 - side_]; }

void StreamEnd::complain(const std::string& text) {
  program_.table().findings.add("connection " + (row_ == nullptr ? "?" : std::to_string(row_->plan.number)) + ", " +
                                side_name(side_) + ": " + text);
}

void StreamEnd::connect(std::uint64_t number, const SocketAddress& to, Instant now) {
  row_ = &program_.table().rows[number];
  state().existed = true;
  stream::CloseReason reason{};
  stream_ = program_.host().tcp().connect(to, *this, reason, now);
  if (stream_ == nullptr) {
    state().closed = reason;
    if (!program_.table().may_break) complain(std::string("could not connect: ") + to_text(reason));
    return finish();
  }
  progress(now);
}

void StreamEnd::accept(stream::ByteStream& stream, Instant now) {
  stream_ = &stream;
  stream.set_events(*this);
  progress(now);
  drain(now);
}

void StreamEnd::vanish() {
  if (row_ != nullptr && !state().over) state().gave_up = true;
  finish();
}

void StreamEnd::finish() {
  stream_ = nullptr;
  rest_.clear();
  header_.clear();
  read_timer_.disarm();
  write_timer_.disarm();
  patience_timer_.disarm();
  if (row_ != nullptr) state().over = true;
}

void StreamEnd::give_up(Instant now) {
  if (row_ != nullptr) state().gave_up = true;
  stream_->reset(now);
  finish();
}

void StreamEnd::progress(Instant now) { program_.host().program_timers().arm(patience_timer_, now + program_.table().patience); }

void StreamEnd::on_patience_timer(Instant now) {
  const bool excused = program_.table().may_break || (row_ != nullptr && other().gave_up);  // its RST may be lost
  if (!excused) complain("heard nothing for too long");
  give_up(now);
}
void StreamEnd::on_read_timer(Instant now) { drain(now); }
void StreamEnd::on_write_timer(Instant now) { fill(now); }
void StreamEnd::on_connected(stream::ByteStream&, Instant now) { fill(now); }
void StreamEnd::on_writable(stream::ByteStream&, Instant now) {
  progress(now);
  fill(now);
}
void StreamEnd::on_readable(stream::ByteStream& stream, Instant now) {
  progress(now);
  if (!read_timer_.is_armed() || stream.read_ended()) drain(now);
}

void StreamEnd::on_closed(stream::ByteStream&, stream::CloseReason reason, Instant) {
  if (row_ == nullptr) {  // a server end that never learnt its plan
    // Its client may have reset it before we have read the first bytes.
    const auto& rows = program_.table().rows;
    const bool reset = reason == stream::CloseReason::kPeerReset &&
                       std::ranges::any_of(rows, [](const auto& row) { return row.state[0].gave_up && !row.state[1].existed; });
    if (!program_.table().may_break && !reset) complain(std::string("broke before it said what it is: ") + to_text(reason));
    return finish();
  }
  state().closed = reason;
  if (reason == stream::CloseReason::kGraceful) {
    if (!state().ended) complain("told of a graceful end before it has read the end");
    if (state().written != plan().bytes) complain("told of a graceful end before it has written all");
  } else if (!program_.table().may_break && !(other().gave_up && reason == stream::CloseReason::kPeerReset)) {
    complain(std::string("broke: ") + to_text(reason));
  }
  finish();
}

void StreamEnd::fill(Instant now) {
  if (stream_ == nullptr || row_ == nullptr || write_timer_.is_armed() || state().shut) return;
  std::array<std::uint8_t, 16'384> bytes;
  while (true) {
    if (rest_.empty() && prepared_ == plan().bytes) break;
    if (rest_.empty()) {
      const std::size_t count = std::min<std::uint64_t>(plan().write_bytes, plan().bytes - prepared_);
      fill_pattern(key_of(*row_, side_), prepared_, std::span(bytes).first(count));
      for (std::uint64_t i = prepared_; side_ == 0 && i < std::min<std::uint64_t>(prepared_ + count, kHeaderBytes); ++i) {
        bytes[i - prepared_] = static_cast<std::uint8_t>(row_->plan.number >> (8 * i));
      }
      if (!rest_.append_copy(std::span(bytes).first(count))) {
        program_.host().program_timers().arm(write_timer_, now + kRetryWithoutBuffers);
        return;
      }
      prepared_ += count;
    }
    state().written += stream_->write(rest_, now);
    if (state().written >= plan().reset_at) return give_up(now);
    if (!rest_.empty()) return;  // on_writable() follows
    if (plan().write_pause > Duration()) {
      program_.host().program_timers().arm(write_timer_, now + plan().write_pause);
      return;
    }
  }
  state().shut = true;
  stream_->shutdown_write(now);
  if (state().ended) on_end(now);
}

bool StreamEnd::learn_plan(stream::Chain& chain) {
  if (row_ != nullptr) return true;
  if (!chain.move_prefix(std::min(chain.size(), kHeaderBytes - header_.size()), header_)) complain("out of chain nodes");
  if (header_.size() < kHeaderBytes) return false;
  std::array<std::uint8_t, kHeaderBytes> bytes{};
  header_.copy_out(0, bytes);
  std::uint64_t number = 0;
  for (std::size_t i = kHeaderBytes; i-- > 0;) number = number << 8 | bytes[i];
  header_.clear();
  StreamTable& table = program_.table();
  if (number >= table.rows.size() || table.rows[number].state[1].existed) {
    complain("its first bytes are those of no connection, or of another");
    return false;
  }
  row_ = &table.rows[number];
  state().existed = true;
  state().received = kHeaderBytes;
  return true;
}

void StreamEnd::check(const stream::Chain& chain) {
  const std::uint64_t key = key_of(*row_, 1 - side_);
  chain.for_each([&](std::span<const std::uint8_t> part) {
    const std::uint64_t drop = program_.drop_at();
    if (drop >= state().received && drop < state().received + part.size()) part = part.subspan(1);
    if (count_wrong(key, state().received, part) != 0) {
      complain("wrong bytes between " + std::to_string(state().received) + " and " +
               std::to_string(state().received + part.size()));
    }
    state().received += part.size();
  });
  if (state().received > other().written) complain("read more than was written");
}

void StreamEnd::drain(Instant now) {
  while (stream_ != nullptr && stream_->readable() > 0) {
    stream::Chain chain(program_.host().chains());
    const std::size_t limit = row_ == nullptr ? 1 << 20 : plan().read_bytes;
    if (stream_->read(chain, limit, now) == 0) return;
    const bool knew = row_ != nullptr;
    if (!learn_plan(chain)) {
      if (header_.empty()) return give_up(now);
      continue;
    }
    check(chain);
    chain.clear();
    progress(now);
    if (!knew) fill(now);
    if (stream_ == nullptr) return;
    if (state().received >= plan().reset_at) return give_up(now);
    Duration pause = plan().read_pause;
    if (!stalled_ && state().received >= plan().stall_at) {
      stalled_ = true;
      pause = plan().stall;
    }
    if (pause > Duration() && !stream_->read_ended()) return program_.host().program_timers().arm(read_timer_, now + pause);
  }
  if (stream_ == nullptr || !stream_->read_ended()) return;
  if (row_ == nullptr) {
    complain("ended before it said what it is");
    return give_up(now);
  }
  if (!state().ended) {
    state().ended = true;
    if (!other().shut || state().received != other().written) {
      complain("told of the end after " + std::to_string(state().received) + " bytes of " +
               std::to_string(row_->plan.end[1 - side_].bytes));
    }
  }
  on_end(now);
}

void StreamEnd::on_end(Instant now) {
  if (!plan().closes_early || !state().shut) return;
  stream_->close(now);
  finish();
}

void StreamProgram::listen(const SocketAddress& address) {
  listening_.push_back(address);
  MR_ASSERT(host_.tcp().listen(address, *this).has_value());
}

void StreamProgram::open(std::uint64_t number, const SocketAddress& to, Instant now) {
  ends_.push_back(std::make_unique<StreamEnd>(*this, false));
  ends_.back()->connect(number, to, now);
}

void StreamProgram::on_accept(stream::ByteStream& stream, Instant now) {
  ends_.push_back(std::make_unique<StreamEnd>(*this, true));
  ends_.back()->accept(stream, now);
}

void StreamProgram::crash(Instant now) {
  for (const auto& end : ends_) end->vanish();
  ends_.clear();  // their chains are of the pool that goes
  host_.crash(now);
  for (const SocketAddress& address : listening_) MR_ASSERT(host_.tcp().listen(address, *this).has_value());
}

}  // namespace millrace::sim
